# Test targets; included by the top-level Makefile.
# One step after the other, each a make of its own: what `deps` installs is seen by the next, and the
# tests do not compete with the build. All steps run, then the target fails if one did.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$$(nproc))

## check: installs, builds, unit tests, style gates, end-to-end tests, other readers, table of rows
check:
	@start=$$(date +%s); bad=; \
	$(MAKE) --no-print-directory deps || exit 1; \
	$(MAKE) --no-print-directory deps-test || echo "check: some tests will skip"; \
	$(MAKE) --no-print-directory $(JOBS) all tests lib examples || exit 1; \
	for step in check-unit lint check-usdt e2e oracle interop rows; do \
		$(MAKE) --no-print-directory $$step || bad="$$bad $$step"; \
	done; \
	echo "check: $$(($$(date +%s) - start)) s$${bad:+, FAILED:$$bad}"; [ -z "$$bad" ]

## e2e: runs the end-to-end tests, tests/e2e_*.sh
E2E := $(filter-out tests/e2e_lib.sh,$(sort $(wildcard tests/e2e_*.sh)))
e2e: all lib examples $(O)/tests/t_runtime $(O)/tests/t_process_host $(O)/tests/doc_pool_program
	@sh tests/run-e2e.sh $(BIN) $(O)/tests $(E2E)

# A program as the process pool's source document shows it: one include, -Wall -Werror.
$(O)/tests/doc_pool_program: tests/doc_pool_program.c $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) -std=gnu11 -Wall -Werror -g -I. -Icore/process $(LD_$(FLAVOUR)) -o $@ $< $(ARCHIVES) \
	-lz $(LIBS_SYS)

## demo: a dozen generated logs become a dataset, and DuckDB looks at it
demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@sh tools/demo.sh $(BIN) $(BUILD)/demo

## soak: long runs with large logs, not part of check (see tests/soak.sh)
soak: all
	@bash tests/soak.sh $(BIN)

## soak-pool: five minutes of random kills, stops and memory hogs among the workers of a pool
soak: soak-pool
soak-pool: $(O)/tests/t_process_chaos
	@CANP_SOAK_S=300 timeout 900 $(O)/tests/t_process_chaos
.PHONY: soak-pool

## soak-examples: the teaching programs, all of them under valgrind too
soak: soak-examples
soak-examples: all examples
	@CANP_LONG=1 bash tests/e2e_examples.sh $(BIN)
.PHONY: soak-examples

.PHONY: check-unit check-asan check-tsan e2e lint kconfig-run readme-options

## check-unit: runs the unit tests; check-asan and check-tsan run them with sanitizers
check-unit: tests
	@sh tests/run-unit.sh $(O)/tests $(TESTS)

check-asan:
	@$(MAKE) --no-print-directory FLAVOUR=asan check-unit

check-tsan:
	@$(MAKE) --no-print-directory FLAVOUR=tsan check-unit

## check-valgrind: what can run there of the unit tests under valgrind, minutes
VALGRIND_TESTS := t_mem t_mem_stats t_cache t_mmapcache t_spsc t_evring t_hist t_event t_monitor \
	t_metrics t_trace t_err t_opts t_json t_libconfig t_failure
.PHONY: check-valgrind
soak: check-valgrind
check-valgrind: $(addprefix $(O)/tests/,$(VALGRIND_TESTS))
	@bash tests/run-valgrind.sh $(O)/tests $(VALGRIND_TESTS) || [ $$? -eq 77 ]

## check-usdt: how many instructions an idle probe point is
## usdt-cost: the same, and how many a job has with probes and without; two builds, minutes
.PHONY: check-usdt usdt-cost
soak: usdt-cost
check-usdt:
	@bash tests/usdt_cost.sh $(BUILD) || [ $$? -eq 77 ]
usdt-cost:
	@bash tests/usdt_cost.sh $(BUILD) full || [ $$? -eq 77 ]

# ---- what was promised ---------------------------------------------------------------------------
.PHONY: rows rows-bench
PYTHON ?= /usr/bin/python3
## rows: every promise, the test that proves it, and how that went in the last check (ROW=D31: one)
# Runs the unit tests when there is no result of theirs.
rows:
	@[ -d $(O)/results/unit ] || $(MAKE) --no-print-directory check-unit
	@$(PYTHON) tests/rows.py tests/rows.tsv $(O)/results tests $(ROW)

## rows-bench: measures the figures that `rows` shows, minutes; on a quiet machine
rows-bench: all
	@mkdir -p $(O)/results
	@for c in runtime pool kernels job; do echo "  BENCH   $$c"; \
	$(BIN)/canp-bench $$c --json >$(O)/results/bench_$$c.json || exit 1; done
	@for io in direct copy; do echo "  BENCH   job --io=$$io"; \
	$(BIN)/canp-bench job --json --io=$$(echo $$io | sed s/copy/buffered/) --stages=read --no-scaling --no-calls \
	--against=none >$(O)/results/bench_job_$$io.json || exit 1; done

# ---- packaging -----------------------------------------------------------------------------------
.PHONY: check-install check-menuconfig soak-configs

## check-install: installs into a temporary folder, looks at it, uninstalls
## check-menuconfig: uses menuconfig in a terminal of its own (tmux)
# 77 means that the test said why it cannot run here.
check-install: all
	@sh tests/e2e_install.sh $(BIN) || [ $$? -eq 77 ]
check-menuconfig:
	@sh tests/e2e_menuconfig.sh || [ $$? -eq 77 ]

## soak-configs: builds every configuration and does a small job with each
soak: soak-configs
soak-configs:
	@sh tests/lint/defconfigs.sh

## soak-bounded: ten minutes of random load on everything that has a bound
.PHONY: soak-bounded
soak: soak-bounded
soak-bounded: $(O)/tests/t_bounded
	@CANP_SOAK_S=$${CANP_SOAK_S:-600} $<

# ---- generated from the option rows --------------------------------------------------------------
ROWS := $(O)/rows
$(ROWS): $(call obj,kconfig/rows.c kconfig/rows_shell.c core/runtime/runtime_cfg.c io/ingest_cfg.c io/lib_cfg.c \
	tools/appliance_cfg.c tools/exec_cfg.c tools/gen_cfg.c tools/bench_cfg.c tools/top_cfg.c \
	tools/appliance_status_cfg.c tools/appliance_tune_cfg.c tools/appliance_doctor_cfg.c) $(O)/libcanp_base.a
	@$(CC) $(LD_$(FLAVOUR)) $(LDFLAGS) -o $@ $^ -lm

## kconfig-run: renews kconfig/Kconfig.run after a change of option rows
kconfig-run: $(ROWS)
	@$(ROWS) kconfig >kconfig/Kconfig.run.new && mv kconfig/Kconfig.run.new kconfig/Kconfig.run

## readme-options: renews the option table of README.md
# Replaces what is between the marks <!-- options --> and <!-- /options -->.
readme-options: $(ROWS)
	@$(ROWS) markdown canp-appliance >$(O)/options.md
	@awk '/<!-- options -->/ { print; while ((getline l < "$(O)/options.md") > 0) print l; skip = 1 } \
	/<!-- \/options -->/ { skip = 0 } !skip' README.md >$(O)/README.md && cp $(O)/README.md README.md

# ---- style gates ---------------------------------------------------------------------------------
LINTS := layers headers tidy opts kconfig journey fmt links api docs
lint_args_headers = $(AUTOCONF) $(CC)
lint_args_opts    = $(ROWS)
lint_args_kconfig = $(ROWS)
lint_args_api     = $(CC)
lint_args_docs    = $(CC)
lint_args_links   = $(O) $(CC) "$(LIBS_SYS)" "$(LD_$(FLAVOUR))"

## lint: style gates: layers, headers, tidy, options, configuration, format, links
# All of them run, then the target fails if one did.
lint: $(ROWS) $(ARCHIVES)
	@bad=; $(foreach l,$(LINTS),sh tests/lint/$(l).sh $(lint_args_$(l)) || bad="$$bad $(l)";) \
	[ -z "$$bad" ] || { echo "lint failed:$$bad"; exit 1; }

## check-fmt: fails when a source is not formatted
check-fmt:
	@sh tests/lint/fmt.sh

# ---- speed ---------------------------------------------------------------------------------------
.PHONY: compare-peers
## compare-peers: speed of a job beside ISA-L alone, python-can and tshark
soak: compare-peers
compare-peers: all
	@sh tests/compare_peers.sh $(BIN)

.PHONY: compare-fio
## compare-fio: bandwidth of a job file for reading in fio and in canp-bench; minutes
soak: compare-fio
compare-fio: all
	@sh tests/compare_fio.sh $(BIN) || [ $$? -eq 77 ]

.PHONY: compare-power
## compare-power: does canp-bench compare find 5 per cent, and nothing where nothing changed; minutes
soak: compare-power
compare-power: all
	@sh tests/compare_power.sh $(BIN)

# ---- other readers -------------------------------------------------------------------------------
.PHONY: oracle interop interop-all
## oracle: frames and signals of the corpus against python-can, tshark, cantools and a reference walker
# Needs the corpus (CANP_CORPUS, default ../shared/data); each script says what it skips.
oracle: all
	@bad=; for s in frames dbc; do echo "== oracle_$$s"; \
	CANP_BIN=$(BIN) sh tests/oracle_$$s.sh || bad="$$bad $$s"; done; \
	[ -z "$$bad" ] || { echo "oracle failed:$$bad"; exit 1; }

## interop: whole jobs and the files of the sink tests through DuckDB, hyparquet and a lint
## interop-all: the same with arrow-rs and polars too, and all pruned scans; minutes
# Needs Node.js and the npm registry (once), else it says why it skips.
interop: interop_args = --engines=duckdb,hyparquet --no-pushdown
interop-all: export CANP_INTEROP_ENGINES = duckdb,arrow,hyparquet,polars
interop interop-all: all $(O)/tests/t_sink_parquet $(O)/tests/t_sidetable
	@rm -rf $(O)/interop && mkdir -p $(O)/interop
	@for t in $(O)/tests/t_sink_parquet $(O)/tests/t_sidetable; do \
	CANP_TEST_OUT=$(O)/interop $$t >$(O)/interop/log 2>&1 || { cat $(O)/interop/log; exit 1; }; done
	@sh tests/interop/run.sh $(interop_args) $(O)/interop/*.parquet >$(O)/interop/verify.log || \
	{ grep -v '^OK' $(O)/interop/verify.log; exit 1; }
	@sh tests/interop/jobs.sh $(BIN)
	@sh tests/interop/prometheus.sh $(BIN)

# ---- tests of a tool's parts ---------------------------------------------------------------------
$(O)/tests/t_bench_compare: $(call obj,tools/bench_metrics.c tools/bench_compare_judge.c)
$(O)/tests/t_benchjob: $(call obj,tools/benchjob_parse.c tools/benchjob_keys.c tools/benchjob_log.c tools/benchjob_mem.c \
	tools/bench_cfg.c tools/gen_cfg.c tools/appliance_job.c tools/toolmain.c)
