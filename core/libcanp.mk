# libcanp as a product of its own: the shared and the static library, the public headers, pkg-config
# and the examples. Included by the top-level Makefile.
#
# Public is what io/canp.h includes, and process_pool.h, whose names have no prefix. core/libcanp.map
# names what the shared library exports; it and the table of the binary interface are generated
# (`make abi`) and held by the lint `api`.
LIB_VERSION := $(shell sed -n 's/^.define CANP_VERSION "\(.*\)"/\1/p' core/base/version.h)
LIB_SONAME  := libcanp.so.0
LIB_MAP     := core/libcanp.map
# Programs say <canp.h> and, as the source document of the process pool does, <process_pool.h>.
LIB_TOP     := io/canp.h core/process/process_pool.h
LIB_HEADERS := core/process/process_pool.h \
	$(filter-out io/canp.h,$(filter %.h,$(shell $(CC) -MM -I. io/canp.h 2>/dev/null)))
src_lib     := $(src_base) $(src_numa) $(src_core) io/source/mmapcache.c io/lib_cfg.c io/libconfig.c
# What it needs of the system; liburing is an archive and becomes part of the shared library.
LIB_SHARED  := -lnuma -lhugetlbfs -lpthread -lm
LIB_STATIC  := -l:liburing.a $(LIB_SHARED)

# Objects of their own, because position independent code costs the programs a little. Functions of
# the library call each other directly all the same, and its few thread variables are found without
# a call (they fit into what the loader keeps for libraries that are opened later).
LIB_PIC := -fPIC -fno-semantic-interposition -ftls-model=initial-exec
lib_obj := $(patsubst %.c,$(O)/pic/%.o,$(src_lib))
LIB_SO  := $(O)/lib/libcanp.so.$(LIB_VERSION)
LIB_A   := $(O)/lib/libcanp.a
LIB_INC := $(O)/lib/include
# With a sanitizer its run-time library comes with the program.
LIB_DEFS := $(if $(LD_$(FLAVOUR)),,-Wl,-z,defs)

.PHONY: lib examples abi
## lib: libcanp.so and libcanp.a, in $(BUILD)/release/lib, with the public headers
lib: $(LIB_SO) $(LIB_A) $(LIB_INC)/.done

$(O)/pic/%.o: %.c $(AUTOCONF)
	@mkdir -p $(@D)
	@echo "  CC-PIC  $<"
	@$(CC) $(CFLAGS_ALL) $(CONV) $(ISA) $(LIB_PIC) -MMD -MP -c -o $@ $<

$(LIB_SO): $(lib_obj) $(LIB_MAP)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) -shared $(LD_$(FLAVOUR)) $(LDFLAGS) -Wl,-soname,$(LIB_SONAME) \
		-Wl,--version-script=$(LIB_MAP) -Wl,-Bsymbolic-functions $(LIB_DEFS) \
		-o $@ $(lib_obj) $(LIB_STATIC)
	@ln -sf $(@F) $(@D)/$(LIB_SONAME) && ln -sf $(LIB_SONAME) $(@D)/libcanp.so

$(LIB_A): $(lib_obj)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

# The headers as they are installed, so that the examples see nothing else.
$(LIB_INC)/.done: $(LIB_TOP) $(LIB_HEADERS) core/libcanp.mk
	@rm -rf $(LIB_INC)
	@for h in $(LIB_HEADERS); do mkdir -p $(LIB_INC)/$${h%/*} && cp $$h $(LIB_INC)/$$h; done
	@cp $(LIB_TOP) $(LIB_INC) && touch $@

# A unit test on the library alone, for flavours whose programs are not wanted (tests/e2e_flavours.sh).
$(O)/tests/lib/%: $(O)/obj/tests/%.o $(LIB_A)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LD_$(FLAVOUR)) $(LDFLAGS) $(CFLAGS) -o $@ $^ -lcmocka $(LIB_STATIC)

# ---- installing ----------------------------------------------------------------------------------
libdir     ?= $(prefix)/lib
includedir ?= $(prefix)/include
# A folder of its own below include: headers name each other by their paths there.
lib_incdir  = $(DESTDIR)$(includedir)/canp
lib_pc      = $(DESTDIR)$(libdir)/pkgconfig/canp.pc

define LIB_PC
prefix=$(prefix)
libdir=$(libdir)
includedir=$(includedir)

Name: canp
Description: Memory pools, prioritised tasks, pipelines and events on pinned reactors
Version: $(LIB_VERSION)
Libs: -L$${libdir} -lcanp
Libs.private: $(LIB_STATIC)
Cflags: -I$${includedir}/canp
endef
export LIB_PC

.PHONY: install-lib uninstall-lib
## install-lib: the library alone: headers, libcanp.so and .a, canp.pc; uninstall-lib removes them
install-lib: lib
	@$(INSTALL) -d $(DESTDIR)$(libdir) $(dir $(lib_pc))
	@$(INSTALL) -m 755 $(LIB_SO) $(DESTDIR)$(libdir)
	@ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(libdir)/$(LIB_SONAME)
	@ln -sf $(LIB_SONAME) $(DESTDIR)$(libdir)/libcanp.so
	@$(INSTALL) -m 644 $(LIB_A) $(DESTDIR)$(libdir)
	@for h in $(LIB_HEADERS); do $(INSTALL) -D -m 644 $$h $(lib_incdir)/$$h || exit 1; done
	@$(INSTALL) -m 644 $(LIB_TOP) $(lib_incdir)
	@printf '%s\n' "$$LIB_PC" >$(lib_pc) && chmod 644 $(lib_pc)
	@# The loader learns of a new library; a packager does that when the package is installed.
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

uninstall-lib:
	@rm -f $(addprefix $(DESTDIR)$(libdir)/,$(notdir $(LIB_SO)) $(LIB_SONAME) libcanp.so libcanp.a)
	@rm -f $(lib_pc)
	@rm -rf $(lib_incdir)

# ---- examples ------------------------------------------------------------------------------------
# tools/examples/plugin_*.c are shared objects for canp-appliance, not programs.
EXAMPLES := $(patsubst tools/examples/%.c,%,$(filter-out tools/examples/plugin_%,\
	$(wildcard tools/examples/*.c)))

## examples: the programs of tools/examples, in $(BUILD)/release/examples
examples: $(addprefix $(O)/examples/,$(EXAMPLES))

$(O)/examples/%: tools/examples/%.c $(LIB_A) $(LIB_INC)/.done
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) -std=gnu11 -O2 -g $(WARN) $(LD_$(FLAVOUR)) $(CFLAGS) -I$(LIB_INC) -o $@ $< \
		$(LIB_A) $(LIB_STATIC)

# ---- what is public ------------------------------------------------------------------------------
## abi: renews core/libcanp.map and tests/lint/abi-v1.txt after a change of public headers
# Only what is new may be added to them without a new symbol version; the lint tells.
abi:
	@CC="$(CC)" python3 tests/lint/abi.py map >$(LIB_MAP).new && mv $(LIB_MAP).new $(LIB_MAP)
	@CC="$(CC)" python3 tests/lint/abi.py table >tests/lint/abi-v1.new && \
		mv tests/lint/abi-v1.new tests/lint/abi-v1.txt

-include $(shell find $(O)/pic -name '*.d' 2>/dev/null)
