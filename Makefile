# The few commands of the project; `make` alone lists them. What a target needs is installed first, into .venv and
# node_modules; a repeated call finds it there.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv/bin
# The first Python that is new enough. Each is asked, since a name on the path may be an empty shim.
PYTHON3 := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: help book pdf test check execute full lab serve assignments lock address data benchmark clean needs-python python ready

help: ## list the targets
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 \2/p' $(MAKEFILE_LIST) | awk '{ printf "  %-11s", $$1; $$1 = ""; print }'

needs-python:
	@test -n "$(PYTHON3)" || { echo 'Python 3.11 or newer is missing: install it with its venv module' \
	  '(Debian 12 or newer: apt-get install python3 python3-venv; others: python.org)'; exit 1; }

# Python alone, and Python with node's modules.
python: needs-python
	@$(PYTHON3) tools/set_up.py --python-only
ready: needs-python
	@$(PYTHON3) tools/set_up.py

book: ready ## build the book from the committed notebooks and print the file to open [SOLUTIONS=hide]
	@$(VENV)/python tools/build_book.py $(if $(filter hide,$(SOLUTIONS)),--without-solutions)

pdf: book ## print the built book into one file, _build/ntk-book.pdf (needs Chromium)
	@$(VENV)/python tools/book_pdf.py

test: ready ## lint, unit tests, every notebook re-executed and compared, strict book build, browser checks
	@$(VENV)/python tools/run_tests.py $(STAGES)

check: python ## the fast static checks alone
	@$(VENV)/python tools/run_tests.py lint static

execute: python ## re-run the notebooks and store their outputs [CHAPTER=NN]
	@$(VENV)/python tools/execute.py $(CHAPTER)

full: python ## run one chapter at full scale in resumable slices and store the results, CHAPTER=NN
	@test -n "$(CHAPTER)" || { echo 'say which chapter: make full CHAPTER=01'; exit 1; }
	@$(VENV)/python tools/run_full.py $(CHAPTER)

lab: python ## open the notebooks in JupyterLab
	@$(VENV)/jupyter lab --notebook-dir=notebooks

serve: ## serve the built book on this machine
	@test -f _build/html/index.html || $(MAKE) book
	@$(VENV)/python tools/serve.py

assignments: python ## make the students' version of the problem sets in _build/course, or in a folder of yours [COURSE=FOLDER]
	@$(VENV)/python tools/build_course.py $(if $(COURSE),--course "$(COURSE)")

data: python ## fetch the real data sets into the cache
	@$(VENV)/python -m ntk_helpers.bookkit.datasets

lock: needs-python ## resolve requirements.txt anew (needs uv)
	@command -v uv >/dev/null || { echo 'uv is missing: pip install uv'; exit 1; }
	uv pip compile pyproject.toml --extra dev --universal --fork-strategy fewest --python-version 3.11 \
	  --no-emit-index-url --custom-compile-command "make lock" --quiet --output-file requirements.txt

address: python ## write the repository's address of pyproject.toml into every file that shows it
	@$(VENV)/python tools/address.py

benchmark: python ## time the empirical NTK against other libraries, in environments of their own
	@$(VENV)/python benchmarks/entk.py $(ARGS)

clean: ## remove what was built; the environments stay (rm -r .venv node_modules removes them)
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +
