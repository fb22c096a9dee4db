# canp-appliance: one non-recursive makefile. `make help` lists the targets.
#
# Objects live under build/<flavour>/obj; build/bin is always the release flavour, the others are in
# build/<flavour>/bin. Sources are found by folder, so a new file needs no line here.

FLAVOUR ?= release
BUILD   ?= build
O       := $(BUILD)/$(FLAVOUR)
ifeq ($(FLAVOUR),release)
BIN     := $(BUILD)/bin
else
BIN     := $(O)/bin
endif

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
AR      ?= ar
PREFIX  ?= /usr/local
prefix  ?= $(PREFIX)

include kconfig/kconfig.mk

# ---- flags ---------------------------------------------------------------------------------------
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wwrite-strings -Wvla -Wundef -Werror
CONV    := -Wconversion -Wno-sign-conversion
BASECF  := -std=gnu11 -D_GNU_SOURCE -I. -include $(AUTOCONF) -fno-omit-frame-pointer \
           -mno-omit-leaf-frame-pointer -ffp-contract=off -fno-strict-aliasing -g $(WARN)
CF_release := -O2
CF_debug   := -O1 -DCANP_DEBUG=1
CF_asan    := -O1 -DCANP_DEBUG=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CF_tsan    := -O1 -DCANP_DEBUG=1 -fsanitize=thread
LD_asan    := -fsanitize=address,undefined
LD_tsan    := -fsanitize=thread
ifeq ($(CF_$(FLAVOUR)),)
$(error unknown FLAVOUR=$(FLAVOUR); use release, debug, asan or tsan)
endif
CFLAGS_ALL := $(BASECF) $(CF_$(FLAVOUR)) $(CFLAGS)
# Debian's liburing.so does not export two calls it declares, so the archive is linked.
LIBS_SYS := -l:liburing.a -lisal -lnuma -lhugetlbfs -lpthread -lm $(KCONFIG_LIBS)

isa_avx2   := -mavx2 -mbmi -mbmi2 -mlzcnt
isa_avx512 := $(isa_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512vnni \
              -mavx512vbmi2 -mprefer-vector-width=512

# ---- sources -------------------------------------------------------------------------------------
src_base := $(wildcard core/base/*.c)
src_simd := $(wildcard simd/*.c)
src_numa := $(wildcard numa/*.c)
src_core := $(wildcard core/runtime/*.c core/pipeline/*.c core/process/*.c core/command/*.c core/observe/*.c)
src_io   := $(filter-out $(KCONFIG_OFF),$(wildcard io/*.c io/source/*.c io/format/*.c io/can/*.c io/sink/*.c))
src_tool := $(wildcard tools/tool*.c)
src_tlib := $(wildcard tests/lib/*.c)
LAYERS   := io core simd numa base
ARCHIVES := $(foreach l,$(LAYERS),$(O)/libcanp_$(l).a)

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))

# A tool is tools/canp_<x>.c (main) and its tools/<x>_*.c, e.g. canp_appliance.c + appliance_run.c;
# with_<x> names parts of another tool that it uses too.
with_bench := $(wildcard tools/gen_*.c tools/benchjob_*.c) tools/appliance_job.c
TOOLS    := $(patsubst tools/canp_%.c,%,$(wildcard tools/canp_*.c))
BINS     := $(foreach t,$(TOOLS),$(BIN)/canp-$(t))
TESTS    := $(patsubst tests/%.c,%,$(filter-out $(KCONFIG_OFF),$(wildcard tests/t_*.c)))
TESTBINS := $(foreach t,$(TESTS),$(O)/tests/$(t))

.PHONY: all help clean distclean deps deps-test demo check check-unit check-fmt fmt soak install lint tests
.DEFAULT_GOAL := all

all: $(BINS)

define archive_rule
$(O)/libcanp_$(1).a: $(call obj,$(src_$(1)))
	@rm -f $$@
	@$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call archive_rule,$(l))))

define tool_rule
$(BIN)/canp-$(1): $(call obj,tools/canp_$(1).c $(wildcard tools/$(1)_*.c) $(with_$(1)) $(src_tool)) $(ARCHIVES)
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$(CC) $(LD_$(FLAVOUR)) $(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(ARCHIVES) -lz $(LIBS_SYS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rule,$(t))))

# The conversion warnings hold for the product; the tests build odd values on purpose.
$(O)/obj/tests/%.o: CONV :=
$(O)/obj/%_avx2.o: ISA := $(isa_avx2)
$(O)/obj/%_avx512.o: ISA := $(isa_avx512)

$(O)/obj/%.o: %.c $(AUTOCONF)
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CFLAGS_ALL) $(CONV) $(ISA) -MMD -MP -c -o $@ $<

$(O)/tests/%: $(O)/obj/tests/%.o $(call obj,$(src_tlib)) $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LD_$(FLAVOUR)) $(LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVES) -lcmocka -lz $(LIBS_SYS)

tests: $(TESTBINS)

.SECONDARY:
-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
include tests/tests.mk
include core/libcanp.mk
include tools/install.mk
include tools/peers.mk

# ---- housekeeping --------------------------------------------------------------------------------
# Prints every target that has a text: a line "## target: text" anywhere in the makefiles.
## help: this list
MAKEFILES_OWN := Makefile kconfig/kconfig.mk core/libcanp.mk tests/tests.mk tools/install.mk \
	tools/peers.mk
help:
	@sed -n 's/^## \([^:]*\): \(.*\)/  \1|\2/p' $(MAKEFILES_OWN) | \
	awk -F'|' '{ printf "%-32s %s\n", $$1, $$2 }'
	@echo
	@echo "Variables: FLAVOUR=release|debug|asan|tsan BUILD=DIR PREFIX=DIR CC=... CFLAGS=..."
	@echo "Configurations: $(KCONFIG_NAMES)"

## all: the programs, in $(BUILD)/bin (default)
## tests: the unit test programs
## clean: removes the build folder
## distclean: clean, and removes .config
## fmt: formats all C sources
fmt:
	clang-format -i $(shell find core io numa simd tools tests kconfig/rows.c -name '*.[ch]' 2>/dev/null)

# What the build and the gates need, and what only some tests need. npm comes with nodejs packages
# that conflict with other installations, so it is only asked for when there is none.
DEPS := gcc make liburing-dev libnuma-dev libhugetlbfs-dev libisal-dev libcmocka-dev zlib1g-dev \
        python3 python3-kconfiglib clang-format scdoc
DEPS_TEST := fio python3-can tshark strace g++ pkgconf valgrind python3-prometheus-client \
             tmux zsh fish man-db linux-perf systemtap-sdt-dev
## deps: installs the packages of the build and of the gates (apt, as root or through sudo)
## deps-test: installs what only some tests need
deps:
	@sh kconfig/deps.sh $(DEPS) $(KCONFIG_DEPS) $$(command -v npm >/dev/null || echo nodejs npm)
deps-test:
	@sh kconfig/deps.sh $(DEPS_TEST)

clean:
	rm -rf $(BUILD)

distclean: clean
	rm -f .config .config.old

include tools/examples/plugin.mk
