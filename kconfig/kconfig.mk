# Configuration. `make menuconfig` (or defconfig, NAME_defconfig) writes .config; without one, or
# without python3-kconfiglib, the checked-in result of canp_defconfig is used, so that a bare
# checkout builds with a compiler and make alone and no .config appears by itself.
#
# Sets AUTOCONF (the header every source gets), KCONFIG_LIBS and KCONFIG_OFF (sources left out).
KCONFIG_CONFIG ?= .config
export KCONFIG_CONFIG
unexport CONFIG_
export MENUCONFIG_STYLE ?= aquatic

KCONFIG_DIR     := kconfig/configs
KCONFIG_DEFAULT := $(KCONFIG_DIR)/default
KCONFIG_FILES   := $(wildcard kconfig/Kconfig*) kconfig/gen.py
KCONFIG_NAMES   := $(patsubst $(KCONFIG_DIR)/%,%,$(wildcard $(KCONFIG_DIR)/*_defconfig))
KCONFIG_GOALS   := menuconfig oldconfig olddefconfig savedefconfig listnewconfig defconfig \
                   $(KCONFIG_NAMES) kconfig-default kconfig-picture
KCONFIG_NO_BUILD := $(KCONFIG_GOALS) clean distclean help deps deps-test fmt check-fmt

AUTOCONF     := $(BUILD)/include/autoconf.h
KCONFIG_LIBS :=
KCONFIG_OFF  :=

# The python in PATH is often one without the distribution's modules, so the system's comes first.
kconfig_python := for p in $(CANP_PYTHON) /usr/bin/python3 python3; do \
	"$$p" -c 'import kconfiglib' 2>/dev/null && { echo "$$p"; break; }; done
ifneq ($(wildcard $(KCONFIG_CONFIG))$(filter $(KCONFIG_GOALS),$(MAKECMDGOALS)),)
KPY := $(shell $(kconfig_python))
endif
kconfig_gen = $(KPY) kconfig/gen.py --config $(1) --header $(2)/autoconf.h --conf $(3)/auto.conf \
	--profile $(3)/canp.conf
kconfig_need = @test -n "$(KPY)" || { echo "python3-kconfiglib is needed for '$@': make deps"; exit 2; }

# ---- what a build reads --------------------------------------------------------------------------
ifneq ($(if $(MAKECMDGOALS),$(filter-out $(KCONFIG_NO_BUILD),$(MAKECMDGOALS)),all),)
ifneq ($(and $(wildcard $(KCONFIG_CONFIG)),$(KPY)),)
$(BUILD)/auto.conf: $(KCONFIG_CONFIG) $(KCONFIG_FILES)
	@mkdir -p $(BUILD)/include
	@$(call kconfig_gen,$(KCONFIG_CONFIG),$(BUILD)/include,$(BUILD))
$(AUTOCONF): $(BUILD)/auto.conf ;
-include $(BUILD)/auto.conf
else
ifneq ($(wildcard $(KCONFIG_CONFIG)),)
$(info kconfig: python3-kconfiglib not found: $(KCONFIG_CONFIG) ignored, default configuration used)
endif
# Copied only when different, so that nothing is rebuilt; auto.conf goes, so that a .config that
# comes back is read again.
$(shell mkdir -p $(BUILD)/include; rm -f $(BUILD)/auto.conf; \
	cmp -s $(KCONFIG_DEFAULT)/autoconf.h $(AUTOCONF) || cp $(KCONFIG_DEFAULT)/autoconf.h $(AUTOCONF); \
	cmp -s $(KCONFIG_DEFAULT)/canp.conf $(BUILD)/canp.conf || \
	cp $(KCONFIG_DEFAULT)/canp.conf $(BUILD)/canp.conf)
include $(KCONFIG_DEFAULT)/auto.conf
endif
endif

# What a choice leaves out, sources and their tests; headers have inline stand-ins for them.
ifneq ($(CONFIG_CANP_SINK_CSV),y)
KCONFIG_OFF += io/sink/sink_csv.c io/sink/sidetable_csv.c tests/t_sink_csv.c
endif
ifneq ($(CONFIG_CANP_FORMAT_BLF),y)
KCONFIG_OFF += io/format/fmt_blf.c io/format/blf_object.c tests/t_fmt_blf.c
endif
ifneq ($(CONFIG_CANP_FORMAT_CANDUMP),y)
KCONFIG_OFF += io/format/fmt_candump.c io/format/candump_parse.c tests/t_fmt_candump.c
endif
# Tests of what all formats share use each of them.
ifneq ($(CONFIG_CANP_FORMAT_BLF)$(CONFIG_CANP_FORMAT_CANDUMP),yy)
KCONFIG_OFF += tests/t_formats.c tests/t_ahead_files.c tests/t_ahead.c tests/t_blf_runs.c tests/t_regions.c
endif
# A context in memory of ours is only offered by the archive.
ifeq ($(CONFIG_CANP_ZSTD),y)
KCONFIG_LIBS += -l:libzstd.a
else
KCONFIG_OFF += io/sink/pqzstd.c tests/t_pqzstd.c
endif

# Packages that the choices in .config need, for `make deps`; read from the file itself, because
# the configuration tools may be among what is missing.
kconfig_set   = $(shell grep -qsx CONFIG_CANP_$(1)=y $(KCONFIG_CONFIG) && echo yes)
KCONFIG_DEPS  = $(if $(call kconfig_set,ZSTD),libzstd-dev) \
		$(if $(call kconfig_set,USDT),systemtap-sdt-dev)

# ---- targets -------------------------------------------------------------------------------------
.PHONY: $(KCONFIG_GOALS) kconfig-run

## menuconfig: changes the configuration in a terminal
# The curses front end spins for ever without a terminal, so it is not started there.
menuconfig:
	$(kconfig_need)
	@test -t 0 -a -t 1 || { echo "menuconfig needs a terminal; use NAME_defconfig or olddefconfig"; exit 2; }
	@$(KPY) -m menuconfig kconfig/Kconfig
	@test ! -f $(KCONFIG_CONFIG) || $(call kconfig_gen,$(KCONFIG_CONFIG),$(BUILD)/include,$(BUILD))

## olddefconfig: completes .config with defaults
## oldconfig: asks for new choices; listnewconfig names them
oldconfig olddefconfig listnewconfig:
	$(kconfig_need)
	@$(KPY) -m $@ kconfig/Kconfig

## savedefconfig: writes the differences from the defaults to SAVEDEFCONFIG (./defconfig)
SAVEDEFCONFIG ?= defconfig
savedefconfig:
	$(kconfig_need)
	@$(KPY) -m savedefconfig --kconfig kconfig/Kconfig --out $(SAVEDEFCONFIG)

## defconfig: writes .config with the defaults; NAME_defconfig takes kconfig/configs/NAME_defconfig
defconfig: canp_defconfig

$(KCONFIG_NAMES): %: $(KCONFIG_DIR)/%
	$(kconfig_need)
	@$(KPY) -m defconfig --kconfig kconfig/Kconfig $<

## kconfig-default: renews kconfig/configs/default after a change of Kconfig files
# Renews the checked-in default after a change of Kconfig files.
kconfig-default:
	$(kconfig_need)
	@$(call kconfig_gen,$(KCONFIG_DIR)/canp_defconfig,$(KCONFIG_DEFAULT),$(KCONFIG_DEFAULT))

## kconfig-picture: renews kconfig/menuconfig.svg, the picture in README.md (tmux)
kconfig-picture:
	$(kconfig_need)
	@$(KPY) kconfig/menu_svg.py kconfig/menuconfig.svg
