"""The pytest plugin of nt_own_tests.py: run one file of neural-tangents' own tests and write down what became of each.

It imports neural-tangents through ntk_helpers.nt, or, on neural-tangents' own reference JAX, as it is; gives the *test
files* the names that they themselves look for in JAX (each with its reason: these are not the bridge's work, and
neural-tangents does not see them); keeps a time limit on each test; and notes which tests reach the structured
derivatives. Everything it needs comes from the environment, see nt_own_tests.py.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import types
import warnings

import jax
import pytest

OUT = os.environ["NT_OWN_TESTS_OUT"]
LIMIT = float(os.environ["NT_OWN_TESTS_LIMIT"])
BRIDGE = os.environ["NT_OWN_TESTS_BRIDGE"] == "1"


def ruled(ending):
    """The primitive in neural-tangents' tables of rules whose name ends so."""
    rules = importlib.import_module("neural_tangents._src.utils.rules")
    return next(key for key in rules.STRUCTURE_RULES if key is not None and key.name.endswith(ending))


# Names that the test files look for in JAX: module, name, why it is missed, what it is.
NAMES = (
    ("jax", "tree_map", "now jax.tree_util.tree_map", lambda: jax.tree_util.tree_map),
    ("jax.core", "Primitive", "now in jax.extend.core", lambda: jax.extend.core.Primitive),
    ("jax.interpreters.ad", "zeros_like_p", "removed; the key of a rule", lambda: ruled("zeros_like_p")),
    ("jax.interpreters.ad", "add_jaxvals_p", "private; the key of a rule", lambda: ruled("add_any")),
)


class TimeLimit(Exception):
    """A test ran past its limit."""


class Stub(types.ModuleType):
    """neural_tangents.experimental, which imports TensorFlow, on the reference JAX."""

    def __getattr__(self, name):
        raise (AttributeError if name.startswith("__") else ImportError)(f"{self.__name__}.{name} needs TensorFlow")


if BRIDGE:
    importlib.import_module("jax.extend.core")
    importlib.import_module("ntk_helpers.nt")
else:
    sys.modules["neural_tangents.experimental"] = Stub("neural_tangents.experimental")
empirical = importlib.import_module("neural_tangents._src.empirical")

reached = set()  # tests that ran structured derivatives
state = {"test": None, "start": 0.0}
outcomes = {}


def note(**record):
    with open(OUT, "a") as file:
        file.write(json.dumps(record) + "\n")


def watched(function):
    def inner(*args, **kwargs):
        reached.add(state["test"])
        return function(*args, **kwargs)

    return inner


empirical._get_df_dys_and_dy_dws = watched(empirical._get_df_dys_and_dy_dws)


@contextlib.contextmanager
def names_put_back():
    """The names of NAMES, where JAX lacks them, while the test files are imported."""
    added = []
    for place, name, _, make in NAMES:
        module = importlib.import_module(place)
        with warnings.catch_warnings(action="ignore"):
            missing = not hasattr(module, name)
        if missing:
            setattr(module, name, make())
            added.append((module, name))
    try:
        yield
    finally:
        for module, name in added:
            delattr(module, name)


def overlay(module, names):
    stand_in = types.ModuleType(module.__name__)
    stand_in.__getattr__ = lambda name: getattr(module, name)
    for name, value in names.items():
        setattr(stand_in, name, value)
    return stand_in


@pytest.hookimpl(hookwrapper=True)
def pytest_collection(session):
    if not BRIDGE:
        yield
        return
    with names_put_back():
        yield
    # jax.tree_map(...) inside a test: seen by the test files alone, so that neural-tangents cannot profit from it
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("tests", "examples") and vars(module).get("jax") is jax:
            module.jax = overlay(jax, {"tree_map": jax.tree_util.tree_map})

            if hasattr(module, "_get_f_and_eqn"):
                module._get_f_and_eqn = completed(module._get_f_and_eqn)


def completed(function):
    """rules_test binds primitives itself: it gets the parameters that these have been given since, all None."""
    examples = {
        "reshape": lambda x: jax.lax.reshape(x, (1, 2)),
        "reduce_sum": jax.numpy.sum,
        "broadcast_in_dim": lambda x: jax.lax.broadcast_in_dim(x, (1, 2), (1,)),
        "dot_general": lambda x: jax.numpy.dot(x, x),
    }

    def inner(params, primitive, *inputs):
        if getattr(primitive, "name", None) in examples:
            now = jax.make_jaxpr(examples[primitive.name])(jax.numpy.ones(2)).eqns[-1]
            assert now.primitive.name == primitive.name, now
            params = {name: None for name, value in now.params.items() if value is None} | params
        return function(params, primitive, *inputs)

    return inner


def pytest_collection_finish(session):
    done = set()
    if os.path.exists(OUT):
        with open(OUT) as file:
            done = {json.loads(line).get("test") for line in file}
    session.items[:] = [item for item in session.items if item.nodeid not in done]
    note(collected=[item.nodeid for item in session.items])


def pytest_collectreport(report):
    if report.failed:
        note(uncollected=str(report.nodeid), message=str(report.longrepr)[-3000:])


def alarm(*_):
    raise TimeLimit(f"longer than {LIMIT:.0f} s of the processor")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    state.update(test=item.nodeid, start=time.process_time())
    note(started=item.nodeid)
    signal.signal(signal.SIGPROF, alarm)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    outcome, message, where = outcomes.pop(item.nodeid, ("skipped", "", ""))
    note(
        test=item.nodeid,
        outcome=outcome,
        structured=item.nodeid in reached,
        seconds=round(time.process_time() - state["start"], 2),
        message=message,
        where=where,
    )


def pytest_runtest_logreport(report):
    """The worst of a test's phases and subtests counts."""
    rank = {"failed": 2, "passed": 1, "skipped": 0}
    message, where = "", ""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr)
        with contextlib.suppress(AttributeError, TypeError):
            where = " < ".join(
                f"{entry.reprfileloc.path.rpartition('site-packages/')[2]}:{entry.reprfileloc.lineno}"
                for entry in reversed(report.longrepr.reprtraceback.reprentries)
            )
    elif report.skipped and isinstance(report.longrepr, tuple):
        message = report.longrepr[2]
    if report.when != "call" and report.outcome == "passed":
        return
    before = outcomes.get(report.nodeid)
    if before is None or rank[report.outcome] > rank[before[0]]:
        outcomes[report.nodeid] = (report.outcome, message[:1500], where[:1500])
