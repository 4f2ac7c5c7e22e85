# Names things; Python does them. `make` prints this list.
.PHONY: help run test check format bench simulate lock clean

help: ## print this list
	@python3 host_tools/targets.py

run: ## run the whole chain here: a meter, a gateway, settlement, an invoice (ARGS=--once ends by itself)
	@python3 host_tools/venv.py run && .venv/bin/python -m host_tools.chain $(ARGS)

test: ## run the tests on CPython and MicroPython (ARGS="tests/wire -k counter")
	@python3 host_tools/venv.py dev && .venv/bin/python -m pytest $(ARGS)

check: ## lint, types and tests with no skips: what must pass before a change lands
	@python3 host_tools/venv.py dev && .venv/bin/python -m host_tools.check $(ARGS)

format: ## put every file in the project's layout
	@python3 host_tools/venv.py dev && .venv/bin/python -m host_tools.check --format

bench: ## measure speed, as ratios within one run
	@python3 host_tools/venv.py dev && .venv/bin/python -m bench $(ARGS)

simulate: ## replay one history of many meters under faults (SEED=7), or try new ones
	@python3 host_tools/venv.py dev && .venv/bin/python -m tests.simulation $(SEED)

lock: ## resolve the newest dependencies into the lock files
	@python3 host_tools/venv.py dev && .venv/bin/python -m host_tools.lock $(ARGS)

clean: ## remove everything make has built (.venv, .lib, caches, .run)
	@python3 host_tools/clean.py
