# Test targets; included by the top-level Makefile.
check-unit: tests
	@sh tests/run-unit.sh $(O)/tests $(TESTS)
