# Installing: programs, the run profile as a configuration file, man pages, completion for bash, zsh
# and fish; the library by core/libcanp.mk.
# DESTDIR is put in front of every path, as packagers expect. Included by the top-level Makefile.
bindir     ?= $(prefix)/bin
mandir     ?= $(prefix)/share/man
bashdir    ?= $(prefix)/share/bash-completion/completions
# Where zsh looks without being told: packages have a folder of their own in Debian.
zshdir     ?= $(prefix)/share/zsh/$(if $(filter /usr,$(prefix)),vendor-completions,site-functions)
fishdir    ?= $(prefix)/share/fish/vendor_completions.d
sysconfdir ?= $(if $(filter /usr,$(prefix)),/etc,$(prefix)/etc)
confdir    := $(DESTDIR)$(sysconfdir)/canp
INSTALL    ?= install
SCDOC      ?= scdoc

# tools/man/x.1.scd becomes x.1: @options@ is replaced by the option list of x, made from its rows,
# @options y@ by that of its command y, @version@ by the product's version. MAN_5 etc.: by section.
MAN_NAMES   := $(patsubst tools/man/%.scd,%,$(wildcard tools/man/*.scd))
MAN_PAGES   := $(addprefix $(O)/man/,$(MAN_NAMES))
MAN_SECTIONS := $(sort $(subst .,,$(suffix $(MAN_NAMES))))
MAN_TOOLS   := $(patsubst tools/canp_%.c,canp-%,$(wildcard tools/canp_*.c))
have_scdoc  := command -v $(SCDOC) >/dev/null
say_scdoc   := echo "no man pages: scdoc not found (make deps installs it)"

.PHONY: man uninstall

$(O)/man/%.scd: tools/man/%.scd core/base/version.h tools/install.mk $(ROWS)
	@mkdir -p $(@D)
	@v=$$(sed -n 's/^#define CANP_VERSION "\(.*\)"/\1/p' core/base/version.h) && \
	awk -v v="$$v" -v rows="$(ROWS) man '$(basename $*)" '{ gsub(/@version@/, v) } \
	/^@options.*@$$/ { gsub(/^@options|@$$/, ""); cmd = rows $$0 "\047"; \
	while ((cmd | getline l) > 0) print l; if (close(cmd)) exit 1; next } { print }' $< >$@.new
	@mv $@.new $@

$(MAN_PAGES): %: %.scd
	@echo "  MAN     $@"
	@$(SCDOC) <$< >$@.new && mv $@.new $@

# A file is named as its shell looks for it when the program is completed first. Commands are those
# of the overview.
BASH_FILES  := $(addprefix $(O)/bash/,$(MAN_TOOLS))
ZSH_FILES   := $(addprefix $(O)/zsh/_,$(MAN_TOOLS))
FISH_FILES  := $(patsubst %,$(O)/fish/%.fish,$(MAN_TOOLS))
SHELL_FILES := $(BASH_FILES) $(ZSH_FILES) $(FISH_FILES)

$(BASH_FILES): $(O)/bash/%: $(BIN)/% $(ROWS)
	@mkdir -p $(@D)
	@c=$$($< --help | sed -n 's/^  \([a-z]*\)  .*/\1/p') && $(ROWS) bash $* $$c >$@.new
	@mv $@.new $@

$(ZSH_FILES): $(O)/zsh/_%: $(BIN)/% $(ROWS)
	@mkdir -p $(@D)
	@$< --help | $(ROWS) zsh $* >$@.new && mv $@.new $@

$(FISH_FILES): $(O)/fish/%.fish: $(BIN)/% $(ROWS)
	@mkdir -p $(@D)
	@$< --help | $(ROWS) fish $* >$@.new && mv $@.new $@

## man: the man pages, in $(BUILD)/release/man
man:
	@if $(have_scdoc); then $(MAKE) --no-print-directory $(MAN_PAGES); else $(say_scdoc); fi

## install: programs, library, canp.conf, man pages, shell completion; DESTDIR=DIR prefix=/usr/local
# A configuration that somebody has changed is not replaced; the new one goes beside it.
install: all man $(SHELL_FILES) install-lib
	@$(INSTALL) -d $(DESTDIR)$(bindir) $(confdir)
	@$(INSTALL) -m 755 $(BINS) $(DESTDIR)$(bindir)
	@$(INSTALL) -d $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir) $(DESTDIR)$(fishdir)
	@$(INSTALL) -m 644 $(BASH_FILES) $(DESTDIR)$(bashdir)
	@$(INSTALL) -m 644 $(ZSH_FILES) $(DESTDIR)$(zshdir)
	@$(INSTALL) -m 644 $(FISH_FILES) $(DESTDIR)$(fishdir)
	@if cmp -s $(BUILD)/canp.conf $(confdir)/canp.conf || [ ! -e $(confdir)/canp.conf ]; then \
		$(INSTALL) -m 644 $(BUILD)/canp.conf $(confdir)/canp.conf; \
	else \
		$(INSTALL) -m 644 $(BUILD)/canp.conf $(confdir)/canp.conf.new; \
		echo "$(confdir)/canp.conf was changed: kept, the new one is canp.conf.new"; \
	fi
	@if $(have_scdoc); then $(foreach s,$(MAN_SECTIONS), \
		$(INSTALL) -d $(DESTDIR)$(mandir)/man$(s) && \
		$(INSTALL) -m 644 $(filter %.$(s),$(MAN_PAGES)) $(DESTDIR)$(mandir)/man$(s) &&) :; \
	fi

## uninstall: removes what install put there; same DESTDIR and prefix
uninstall: uninstall-lib
	@rm -f $(addprefix $(DESTDIR)$(bindir)/,$(notdir $(BINS)))
	@rm -f $(addprefix $(DESTDIR)$(bashdir)/,$(notdir $(BASH_FILES)))
	@rm -f $(addprefix $(DESTDIR)$(zshdir)/,$(notdir $(ZSH_FILES)))
	@rm -f $(addprefix $(DESTDIR)$(fishdir)/,$(notdir $(FISH_FILES)))
	@rm -f $(foreach p,$(MAN_NAMES),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(p)))/$(p)) \
		$(confdir)/canp.conf.new
	@if cmp -s $(BUILD)/canp.conf $(confdir)/canp.conf; then rm -f $(confdir)/canp.conf; \
	elif [ -e $(confdir)/canp.conf ]; then echo "$(confdir)/canp.conf was changed: kept"; fi
	@rmdir $(confdir) 2>/dev/null || true
