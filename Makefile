# Names things; Python does them. `make` prints this list.
.PHONY: help run image flash pair doctor test check format bench simulate lock clean

BOARD ?= esp32_devkit
PORT ?= auto
OUT ?= meter.bin

help: ## print this list
	@python3 host_tools/targets.py

run: ## run the whole chain here: a meter, a gateway, settlement, an invoice (ARGS=--once ends by itself)
	@python3 host_tools/venv.py run && .venv/bin/python -m host_tools.chain $(ARGS)

image: ## build a board's flash image (BOARD=esp32_devkit OUT=meter.bin ARGS="--firmware ESP32_GENERIC.bin")
	@python3 host_tools/venv.py dev && .venv/bin/python -m host_tools image $(BOARD) $(OUT) $(ARGS)

flash: ## write it to a board over USB (BOARD=esp32_devkit PORT=auto ARGS="--firmware ESP32_GENERIC.bin")
	@python3 host_tools/venv.py dev && .venv/bin/python -m host_tools flash $(BOARD) --port $(PORT) $(ARGS)

pair: ## make a flashed board a meter that its gateway hears (PORT=auto PPE=, reads pairing.toml)
	@python3 host_tools/venv.py run && .venv/bin/python -m host_tools pair --port $(PORT) $(if $(PPE),--ppe $(PPE)) $(ARGS)

doctor: ## say what is wrong with a board, and what to do next (PORT=auto)
	@python3 host_tools/venv.py run && .venv/bin/python -m host_tools doctor --port $(PORT) $(ARGS)

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
