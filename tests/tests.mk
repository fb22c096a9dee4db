# Test targets; included by the top-level Makefile.
## check: unit tests and style gates
check: check-unit lint

.PHONY: check-unit check-asan check-tsan lint kconfig-run readme-options

## check-unit: runs the unit tests; check-asan and check-tsan run them with sanitizers
check-unit: tests
	@sh tests/run-unit.sh $(O)/tests $(TESTS)

check-asan:
	@$(MAKE) --no-print-directory FLAVOUR=asan check-unit

check-tsan:
	@$(MAKE) --no-print-directory FLAVOUR=tsan check-unit

# ---- generated from the option rows --------------------------------------------------------------
ROWS := $(O)/rows
$(ROWS): $(call obj,kconfig/rows.c core/runtime/runtime_cfg.c io/ingest_cfg.c tools/appliance_cfg.c \
	tools/gen_cfg.c) $(O)/libcanp_base.a
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
LINTS := layers headers tidy opts fmt links
lint_args_headers = $(AUTOCONF) $(CC)
lint_args_opts    = $(ROWS)
lint_args_links   = $(O) $(CC) "$(LIBS_SYS)" "$(LD_$(FLAVOUR))"

## lint: style gates: layers, headers, tidy, options, format, links
# All of them run, then the target fails if one did.
lint: $(ROWS) $(ARCHIVES)
	@bad=; $(foreach l,$(LINTS),sh tests/lint/$(l).sh $(lint_args_$(l)) || bad="$$bad $(l)";) \
	[ -z "$$bad" ] || { echo "lint failed:$$bad"; exit 1; }

## check-fmt: fails when a source is not formatted
check-fmt:
	@sh tests/lint/fmt.sh

# ---- other readers -------------------------------------------------------------------------------
.PHONY: interop
## interop: files of the sink tests through DuckDB, arrow-rs, hyparquet, polars and a lint
# Needs Node.js and the npm registry, so it is not part of check.
interop: $(O)/tests/t_sink_parquet $(O)/tests/t_sidetable
	@rm -rf $(O)/interop && mkdir -p $(O)/interop
	@for t in $^; do CANP_TEST_OUT=$(O)/interop $$t >$(O)/interop/log 2>&1 || { cat $(O)/interop/log; exit 1; }; done
	@sh tests/interop/run.sh $(O)/interop/*.parquet
