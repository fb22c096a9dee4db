# Installing: programs, the run profile as a configuration file, man pages, completion for bash; the
# library by core/libcanp.mk.
# DESTDIR is put in front of every path, as packagers expect. Included by the top-level Makefile.
bindir     ?= $(prefix)/bin
mandir     ?= $(prefix)/share/man
man1dir    ?= $(mandir)/man1
bashdir    ?= $(prefix)/share/bash-completion/completions
sysconfdir ?= $(if $(filter /usr,$(prefix)),/etc,$(prefix)/etc)
confdir    := $(DESTDIR)$(sysconfdir)/canp
INSTALL    ?= install
SCDOC      ?= scdoc

# tools/man/x.1.scd becomes x.1: @options@ is replaced by the option list of x, made from its rows,
# @options y@ by that of its command y, @version@ by the product's version.
MAN1        := $(patsubst tools/man/%.scd,%,$(wildcard tools/man/*.1.scd))
MAN_PAGES   := $(addprefix $(O)/man/,$(MAN1))
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

# A file is named like its program: bash loads it when the program is completed first. Commands are
# those of the overview.
BASH_FILES  := $(patsubst %.1,$(O)/bash/%,$(MAN1))

$(BASH_FILES): $(O)/bash/%: $(BIN)/% $(ROWS)
	@mkdir -p $(@D)
	@c=$$($< --help | sed -n 's/^  \([a-z]*\)  .*/\1/p') && $(ROWS) bash $* $$c >$@.new
	@mv $@.new $@

## man: the man pages, in $(BUILD)/release/man
man:
	@if $(have_scdoc); then $(MAKE) --no-print-directory $(MAN_PAGES); else $(say_scdoc); fi

## install: programs, library, canp.conf, man pages, completion; DESTDIR=DIR prefix=/usr/local
# A configuration that somebody has changed is not replaced; the new one goes beside it.
install: all man $(BASH_FILES) install-lib
	@$(INSTALL) -d $(DESTDIR)$(bindir) $(confdir)
	@$(INSTALL) -m 755 $(BINS) $(DESTDIR)$(bindir)
	@$(INSTALL) -d $(DESTDIR)$(bashdir)
	@$(INSTALL) -m 644 $(BASH_FILES) $(DESTDIR)$(bashdir)
	@if cmp -s $(BUILD)/canp.conf $(confdir)/canp.conf || [ ! -e $(confdir)/canp.conf ]; then \
		$(INSTALL) -m 644 $(BUILD)/canp.conf $(confdir)/canp.conf; \
	else \
		$(INSTALL) -m 644 $(BUILD)/canp.conf $(confdir)/canp.conf.new; \
		echo "$(confdir)/canp.conf was changed: kept, the new one is canp.conf.new"; \
	fi
	@if $(have_scdoc); then \
		$(INSTALL) -d $(DESTDIR)$(man1dir) && \
		$(INSTALL) -m 644 $(MAN_PAGES) $(DESTDIR)$(man1dir); \
	fi

## uninstall: removes what install put there; same DESTDIR and prefix
uninstall: uninstall-lib
	@rm -f $(addprefix $(DESTDIR)$(bindir)/,$(notdir $(BINS)))
	@rm -f $(addprefix $(DESTDIR)$(bashdir)/,$(notdir $(BASH_FILES)))
	@rm -f $(addprefix $(DESTDIR)$(man1dir)/,$(MAN1)) $(confdir)/canp.conf.new
	@if cmp -s $(BUILD)/canp.conf $(confdir)/canp.conf; then rm -f $(confdir)/canp.conf; \
	elif [ -e $(confdir)/canp.conf ]; then echo "$(confdir)/canp.conf was changed: kept"; fi
	@rmdir $(confdir) 2>/dev/null || true
