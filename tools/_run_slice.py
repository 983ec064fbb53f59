"""Run cells of a chapter in one namespace and store which claims they measured; for claim_sensitivity.py.

python tools/_run_slice.py TASK.json ANSWER.json, with the package to use on PYTHONPATH. An assertion of the page that
fails is noted, and the next cell runs, as in a reader's notebook; any other error ends the run.
"""

import json
import sys
import traceback
from pathlib import Path


def main() -> int:
    """Run the task's cells; the answer holds records, failed assertions and the error that ended the run."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import ntk_helpers
    from ntk_helpers.bookkit import session
    from ntk_helpers.bookkit.claims import ClaimFailed

    used = Path(ntk_helpers.__file__).resolve().parent
    if used != Path(task["package"]).resolve():
        raise SystemExit(f"the package in use is {used}, not the copy {task['package']}")
    answer = {"assertions": [], "error": None}
    namespace = {"__name__": "__main__"}
    for number, source in task["cells"]:
        try:
            exec(compile(source, f"<{task['chapter']}, cell {number}>", "exec"), namespace)
        except ClaimFailed:
            pass  # it is in the records
        except AssertionError as failed:
            answer["assertions"].append(f"cell {number}: {failed}".strip(" :"))
        except Exception as error:
            traceback.print_exc()
            answer["error"] = f"cell {number}: {type(error).__name__}: {error}"
            break
    answer["claims"] = list(session.current.records.values())
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
