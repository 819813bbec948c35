.PHONY: demo test lint docs bench soak clean
PYTHON ?= python3
BIN = .venv/bin

demo: .venv/demo
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/chatpost emulator -- sh docs/examples/demo.sh

test: .venv/dev
	$(BIN)/python -m tests.tools
	$(BIN)/pytest -n auto -ra

lint: .venv/dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# Writes the help pages in docs/usage.md, and takes the pictures of the emulator.
docs: .venv/dev
	$(BIN)/python tests/help_pages.py
	CHATPOST_SCREENSHOT="$(CURDIR)/docs/emulator.png" CHATPOST_MENTIONS="$(CURDIR)/docs/mentions.png" \
		$(BIN)/pytest -q tests/test_page.py -k "screenshot or picture"

# Prints the tables of docs/performance.md, in some twenty minutes.
bench: .venv/bench
	$(BIN)/python -m tests.benchmarks

# Posts 1,000 messages through faults and kills, in some minutes; MESSAGES=10000 for more.
soak: .venv/dev
	$(BIN)/python -m tests.soak $(or $(MESSAGES),1000)

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

clean:
	rm -rf .venv
