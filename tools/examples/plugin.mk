# Example plugins: tools/examples/plugin_x.c becomes $(BUILD)/examples/plugin_x.so (beside the programs
# of this flavour). Included by the top-level Makefile. A plugin needs two headers and no library.
MAKEFILES_OWN += tools/examples/plugin.mk
PLUGINS := $(patsubst tools/examples/%.c,$(dir $(BIN))examples/%.so,$(wildcard tools/examples/plugin_*.c))

.PHONY: plugins
## plugins: the example plugins, in $(BUILD)/examples (part of all)
plugins: $(PLUGINS)
all: plugins

$(PLUGINS): $(dir $(BIN))examples/%.so: tools/examples/%.c io/plugin.h core/pipeline/batch.h $(AUTOCONF)
	@mkdir -p $(@D)
	@echo "  SO      $@"
	@$(CC) $(CFLAGS_ALL) $(CONV) $(LD_$(FLAVOUR)) -fPIC -shared -o $@ $<
