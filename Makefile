.PHONY: demo test lint docs bench soak fuzz installs site zipapp release-check clean
PYTHON ?= python3
BIN = .venv/bin

demo: .venv/demo
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/chatpost emulator -- sh docs/examples/demo.sh

test: .venv/dev
	$(BIN)/python -m tests.tools
	$(BIN)/pytest -n auto --dist worksteal -ra

lint: .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/zizmor --quiet --offline .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml

# Writes the help pages in docs/usage.md, the man pages, the shell completions, the charts and the screenshots.
docs: .venv/dev
	$(BIN)/python tests/help_pages.py
	$(BIN)/python tests/man_pages.py
	$(BIN)/python -m tests.terminal_picture
	$(BIN)/python -m tests.benchmarks.charts
	CHATPOST_SCREENSHOT="$(CURDIR)/docs/emulator.png" CHATPOST_MENTIONS="$(CURDIR)/docs/mentions.png" \
		$(BIN)/pytest -q tests/test_page.py -k "screenshot or picture"

# Builds the documentation site in docs/.site.
site: .venv/dev
	$(BIN)/zensical build -f docs/zensical.toml --clean

# Prints the tables of docs/performance.md, in about 20 minutes, and draws the charts from the figures on that page.
bench: .venv/bench
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.charts

# Posts 1,000 messages through faults and kills, in a few minutes. MESSAGES=10000 posts more.
soak: .venv/dev
	$(BIN)/python -m tests.soak $(or $(MESSAGES),1000)

# Runs the commands on mangled input, for an hour. SECONDS=60 runs them for a minute.
fuzz: .venv/dev
	$(BIN)/python -m tests.fuzz $(or $(SECONDS),3600)

# Installs the wheel for each Python that is found, with the oldest and the newest dependencies, in a few minutes.
installs: .venv/release
	$(BIN)/python -m tests.clean_installs

# Builds build/chatpost.pyz, a single file that needs only Python 3.11 or newer. Native code is left out.
zipapp: .venv/dev
	rm -rf build/zipapp
	$(BIN)/pip install --quiet --no-compile --no-deps --target build/zipapp .
	$(BIN)/pip install --quiet --no-compile --only-binary :all: --platform any --target build/zipapp \
		click requests urllib3 rich tomlkit redis
	$(BIN)/python tests/build_zipapp.py build/zipapp build/chatpost.pyz

# Everything in a release that does not need GitHub: builds and checks the packages, and runs the demo with each of them.
release-check: .venv/release zipapp
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	for package in dist/*; do \
		rm -rf build/trial && $(PYTHON) -m venv build/trial && \
		build/trial/bin/pip install --quiet "$$package[emulator]" && \
		test -f build/trial/share/man/man1/chatpost-send.1 && \
		PATH="$(CURDIR)/build/trial/bin:$$PATH" chatpost emulator -- sh docs/examples/demo.sh || exit 1; \
	done
	$(PYTHON) build/chatpost.pyz --version

.venv/demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[emulator]'
	touch $@

.venv/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

.venv/bench: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

.venv/release: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[release]'
	touch $@

clean:
	rm -rf .venv build dist docs/.site docs/.cache
