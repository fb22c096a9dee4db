# The program that runs other libraries beside ours in `canp-bench runtime`. It is built where there
# is a C++ compiler, with oneTBB and OpenMP as far as they are installed, and never installed.
CXX      ?= g++
ifeq ($(origin CXX),default)
CXX      := g++
endif
have_cxx := $(shell command -v $(CXX))
have_tbb := $(wildcard /usr/include/tbb/parallel_pipeline.h)

.PHONY: peers
## peers: bench-peers, other libraries for `canp-bench runtime` (wants libtbb-dev, libmimalloc2.0, libjemalloc2)
peers: $(BIN)/bench-peers
all: $(if $(have_cxx),$(BIN)/bench-peers)

$(BIN)/bench-peers: tools/bench_peers.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(CXX) -O2 -g -Wall -Wextra -Werror -fopenmp -o $@ $< $(if $(have_tbb),-ltbb) -ldl
