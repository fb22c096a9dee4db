# Test targets; included by the top-level Makefile.
check-unit: tests
	@sh tests/run-unit.sh $(O)/tests $(TESTS)

# ---- generated from the option rows --------------------------------------------------------------
ROWS := $(O)/rows
$(ROWS): $(call obj,kconfig/rows.c core/runtime/runtime_cfg.c io/ingest_cfg.c tools/appliance_cfg.c \
	tools/gen_cfg.c) $(O)/libcanp_base.a
	@$(CC) $(LD_$(FLAVOUR)) $(LDFLAGS) -o $@ $^ -lm

.PHONY: kconfig-run
kconfig-run: $(ROWS)
	@$(ROWS) kconfig >kconfig/Kconfig.run.new && mv kconfig/Kconfig.run.new kconfig/Kconfig.run
