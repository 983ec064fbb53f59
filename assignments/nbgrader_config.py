# nbgrader's settings of a course folder; `make assignments` copies it there once, then it is yours to change.
from pathlib import Path

c = get_config()  # given by nbgrader

c.CourseDirectory.root = str(Path(__file__).resolve().parent)  # wherever a command is given
c.CourseDirectory.course_id = "ntk"
c.CourseDirectory.db_url = f"sqlite:///{Path(__file__).resolve().parent / 'gradebook.db'}"
c.ExecutePreprocessor.timeout = 180  # seconds for one cell; the slowest takes a few
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"
# The name of a submission in a bundle from a learning platform: STUDENT_SET.ipynb (for nbgrader zip_collect).
# A student may be called s_12: the set is what begins with the last two digits between underscores.
c.FileNameCollectorPlugin.named_regexp = r"(?:.*[/\\])?(?P<student_id>[\w.-]+)_(?P<file_id>\d\d_[a-z]\w*)"
