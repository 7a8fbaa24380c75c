# `make demo` and `make test` work from a fresh clone; CONTRIBUTING.md has the rest.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_HEADLESS := $(if $(DISPLAY),,xvfb-run -a -s "-screen 0 1600x1000x24")

.PHONY: demo test test-core test-viewer lint format bench pictures clean

demo: .venv/installed
	@[ -z "$(DISPLAY)" ] || scripts/system_libraries viewer || true
	$(BIN)/convfact demo

test: test-core test-viewer

test-core: .venv/installed-test
	$(BIN)/python -m pytest --ignore tests/gui

test-viewer: .venv/installed-test
	$(RUN_HEADLESS) env QT_API=pyqt6 $(BIN)/python -m pytest tests/gui
	$(RUN_HEADLESS) env QT_API=pyside6 $(BIN)/python -m pytest tests/gui -o qt_api=pyside6

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate napari-convfact --imports

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-bench .venv-kymatio/installed
	$(BIN)/python -m benchmarks
	$(RUN_HEADLESS) env QT_API=pyqt6 $(BIN)/python -m pytest -m timing -rP tests/gui

pictures: .venv/installed-test
	$(RUN_HEADLESS) $(BIN)/python docs/make_pictures.py

.venv/bin/python:
	scripts/system_libraries venv
	$(PYTHON) -m venv .venv
	$(PIP) install -q --upgrade "pip>=25.1"
	$(PIP) install -q -c constraints.txt torch

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[all]"
	@touch $@

.venv/installed-test: .venv/installed
	scripts/system_libraries viewer
	$(PIP) install -q -c constraints.txt --group test --group lint
	@touch $@

# Kymatio 0.3 needs an older SciPy than ours.
.venv-kymatio/installed:
	$(PYTHON) -m venv .venv-kymatio
	.venv-kymatio/bin/python -m pip install -q kymatio==0.3.0 "scipy<1.15" "numpy<2.3"
	@touch $@

.venv/installed-bench: .venv/installed-test
	$(PIP) install -q -c constraints.txt --group bench
	@touch $@

clean:
	rm -rf .venv .venv-kymatio build dist demo-output .pytest_cache .mypy_cache .ruff_cache
