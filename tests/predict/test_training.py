import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_helpers as nh
from ntk_helpers.predict import training

RNG = np.random.default_rng(6)
X = jnp.asarray(RNG.standard_normal((6, 3)), jnp.float32)
Y = jnp.asarray(RNG.standard_normal((6, 2)), jnp.float32)
X_TEST = jnp.asarray(RNG.standard_normal((4, 3)), jnp.float32)
NET = nh.fcn(d_in=3, width=16, depth=1, d_out=2, sigma_w=1.4, sigma_b=0.1)
KEY = jax.random.key(0)


def by_hand(params, optimizer, steps, loss):
    """The loop that everybody writes, with a loss of one's own."""
    state = optimizer.init(params)
    for _ in range(steps):
        gradient = jax.grad(lambda p: loss(NET.apply(p, X), Y))(params)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize(
    ("arguments", "optimizer", "loss"),
    [
        ({"learning_rate": 0.05}, optax.sgd(0.05), lambda f, y: 0.5 * jnp.sum((f - y) ** 2)),
        ({"learning_rate": 0.2, "loss": "mean"}, optax.sgd(0.2), lambda f, y: 0.5 * jnp.mean(jnp.sum((f - y) ** 2, 1))),
        ({"optimizer": optax.adam(1e-2), "loss": "mean_outputs", "half": False}, optax.adam(1e-2),
         lambda f, y: jnp.mean((f - y) ** 2)),
        ({"learning_rate": 0.1, "loss": lambda f, y: jnp.mean(jnp.abs(f - y))}, optax.sgd(0.1),
         lambda f, y: jnp.mean(jnp.abs(f - y))),
    ],
)  # fmt: skip
def test_one_network_is_the_plain_loop(arguments, optimizer, loss):
    start = NET.init(key=KEY, dtype=jnp.float32)
    log = nh.train(NET, X, Y, steps=20, log_at=[0, 20], x_test=X_TEST, params=start, **arguments)
    expected = by_hand(start, optimizer, 20, loss)
    # float32 over 20 steps
    for ours, theirs in zip(jax.tree.leaves(log.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(log.train, [NET.apply(start, X), NET.apply(expected, X)], rtol=0, atol=1e-5)
    np.testing.assert_allclose(log.test, [NET.apply(start, X_TEST), NET.apply(expected, X_TEST)], rtol=0, atol=1e-5)
    losses = [float(loss(NET.apply(p, X), Y)) for p in (start, expected)]
    np.testing.assert_allclose(log.losses, losses, rtol=1e-5)
    assert (log.steps.tolist(), log.steps_done, log.interrupted) == ([0, 20], 20, False)


def test_many_seeds_are_single_runs():
    options = {"learning_rate": 0.05, "steps": 12, "log_at": [0, 5, 12], "x_test": X_TEST, "kernel_inputs": X[:3]}
    many = nh.train(NET, X, Y, key=KEY, n_seeds=3, **options)
    assert many.losses.shape == (3, 3)
    assert many.train.shape == (3, 3, 6, 2)
    assert many.test.shape == (3, 3, 4, 2)
    assert many.kernels.shape == (3, 3, 3, 3)
    one = nh.train(NET, X, Y, key=jax.random.split(KEY, 3)[1], **options)
    for ours, theirs in ((many.losses, one.losses), (many.train, one.train), (many.kernels, one.kernels)):
        np.testing.assert_allclose(ours[1], theirs, rtol=1e-4, atol=1e-5)
    assert np.ptp(many.losses[:, 0]) > 0.01
    explicit = nh.empirical_ntk(NET.apply, one.params, X[:3], output="trace", method="jacobian")
    np.testing.assert_allclose(one.kernels[-1], explicit, rtol=1e-5)
    np.testing.assert_allclose(many.times, 0.05 * np.array([0, 5, 12]))


@pytest.mark.parametrize("batch_size", [None, 2])
def test_interrupted_and_resumed_is_uninterrupted(batch_size, monkeypatch):
    options = {"optimizer": optax.adam(1e-2), "steps": 40, "key": KEY, "n_seeds": 2, "batch_size": batch_size}
    whole = nh.train(NET, X, Y, **options)

    class Interrupting(training.tqdm):
        def update(self, n=1):
            if self.n + n > 10:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(training, "tqdm", Interrupting)
    with pytest.warns(RuntimeWarning, match=r"interrupted after \d+ of 40 steps; resume=log"):
        part = nh.train(NET, X, Y, **options)
    assert part.interrupted
    assert 10 < part.steps_done < 40
    assert part.steps[-1] <= part.steps_done
    monkeypatch.undo()
    rest = nh.train(NET, X, Y, resume=part, **options)
    assert rest.steps.tolist() == whole.steps.tolist()
    np.testing.assert_array_equal(rest.losses, whole.losses)
    np.testing.assert_array_equal(rest.train, whole.train)
    assert not rest.interrupted
    further = nh.train(NET, X, Y, resume=whole, **(options | {"steps": 50}))
    assert further.steps_done == 50
    np.testing.assert_array_equal(further.losses[:, : len(whole.steps)], whole.losses)


def test_the_stop_button_keeps_what_was_done(monkeypatch):
    """The signal of a stop button, in the middle of a run that would take minutes.

    The main thread raises it, at the progress bar: one that another thread sends at any moment may arrive inside a
    callback of the runtime, where Python reports it and goes on. A job that a shell started in the background ignores
    the signal, so Python's own answer to it is put back first.
    """
    rung = []

    class Watched(training.tqdm):
        def update(self, n=1):
            if self.n > 100 and not rung:
                rung.append(self.n)
                signal.raise_signal(signal.SIGINT)
            return super().update(n)

    monkeypatch.setattr(training, "tqdm", Watched)
    steps = 10**7
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(RuntimeWarning, match="interrupted after"):
            log = nh.train(NET, X, Y, learning_rate=0.05, steps=steps, key=KEY, log_at=[0, 10, steps])
    finally:
        signal.signal(signal.SIGINT, before)
    assert log.interrupted
    assert 100 < log.steps_done < steps
    assert log.steps.tolist() == [0, 10]
    assert np.isfinite(NET.apply(log.params, X)).all()


def linear(w, x):
    return x @ w


def test_minibatches_are_subsets_and_their_mean_is_the_gradient():
    x, y = X, Y[:, :1]
    seeds = 4000
    start = jnp.zeros((seeds, 3, 1))
    log = nh.train(
        linear, x, y, params=start, learning_rate=1.0, steps=1, log_at=[1], key=KEY, n_seeds=seeds, batch_size=2
    )
    moves = np.asarray(log.params)[..., 0]
    # from w = 0 the update for a batch B is (N / |B|) sum_{i in B} x_i y_i
    parts = np.asarray(x * y)
    pairs = np.array([3 * (parts[i] + parts[j]) for i in range(6) for j in range(i)])
    distance = np.abs(moves[:, None] - pairs).max(-1)
    assert distance.min(1).max() < 1e-5  # two different samples each, and the scale of the sum
    counts = np.bincount(distance.argmin(1), minlength=15)
    assert np.abs(counts - seeds / 15).max() < 4.5 * np.sqrt(seeds / 15)  # all pairs alike
    error = moves.std(0) / np.sqrt(seeds)
    assert (np.abs(moves.mean(0) - parts.sum(0)) < 4 * error).all()


def test_batches_change_from_step_to_step():
    w = jnp.zeros((3, 1))
    options = {"params": w, "learning_rate": 1e-6, "loss": "mean", "key": KEY, "batch_size": 1}
    logs = [nh.train(linear, X, Y[:, :1], steps=k, log_at=[k], **options).params for k in range(1, 9)]
    moves = np.diff(np.stack([w, *logs])[..., 0], axis=0)
    assert len(np.unique(moves.round(9), axis=0)) > 2


def test_targets_are_never_broadcast(without_hook):
    net = nh.fcn(d_in=3, width=8, depth=1)
    flat = nh.train(net, X, Y[:, 0], learning_rate=0.1, steps=5, key=KEY, log_at=[5])
    column = nh.train(net, X, Y[:, :1], learning_rate=0.1, steps=5, key=KEY, log_at=[5])
    np.testing.assert_array_equal(flat.train, column.train)
    for bad in (Y[:, 0], Y[:, :1], Y[:5], Y * np.nan):
        with pytest.raises(ValueError, match="y must"):
            nh.train(NET, X, bad, learning_rate=0.1, steps=5, key=KEY)


def test_a_diverging_run_goes_on():
    log = nh.train(NET, X, Y, learning_rate=50.0, steps=200, key=KEY, log_at=[0, 200])
    assert np.isfinite(log.losses[0])
    assert not np.isfinite(log.losses[1])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": optax.adam(1.0)}, ValueError, "either learning_rate"),
        ({"learning_rate": None}, ValueError, "either learning_rate"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"learning_rate": None, "optimizer": "adam"}, TypeError, "optimizer must be an optax optimizer, got str"),
        ({"steps": 0}, ValueError, "steps"),
        ({"key": None}, ValueError, "key is needed"),
        ({"n_seeds": 0}, ValueError, "n_seeds"),
        ({"batch_size": 7}, ValueError, "batch_size must be at most the 6 samples, got 7"),
        ({"log_at": [0, 9]}, ValueError, "log_at must lie between 0 and steps = 5, got 0 to 9"),
        ({"log_at": [0.5]}, TypeError, "log_at must be a sequence of integers"),
        ({"loss": "mse"}, ValueError, "loss must be one of"),
        ({"net": NET.apply}, ValueError, "params are needed"),
        ({"net": "fcn"}, TypeError, "net must be a Network or a function"),
        ({"net": lambda p, x: jnp.sum(x), "params": jnp.ones(2)}, ValueError, r"outputs of shape \(N, O\)"),
        ({"n_seeds": 3, "params": NET.init(key=KEY)}, ValueError, "the 3 seeds as first axis"),
    ],
)
def test_bad_arguments(change, error, message, without_hook):
    arguments = {"net": NET, "x": X, "y": Y, "learning_rate": 0.1, "steps": 5, "key": KEY} | change
    with pytest.raises(error, match=message):
        nh.train(**arguments)


def test_times_need_a_learning_rate():
    log = nh.train(NET, X, Y, optimizer=optax.adam(0.01), steps=1, key=KEY, log_at=[1])
    with pytest.raises(ValueError, match="plain gradient descent"):
        _ = log.times
    with pytest.raises(ValueError, match="at least the 3 that resume has done"):
        nh.train(NET, X, Y, optimizer=optax.adam(0.01), steps=0 + 1, key=KEY, resume=nh.TrainingLog(
            **{**log.__dict__, "steps_done": 3, "learning_rate": None}))  # fmt: skip
