# SPDX-License-Identifier: MIT
# Builds all of vramscope. `make help` lists targets and options; tools/setup.sh finds or installs what is missing.
O ?= build
V ?= 0
PREFIX ?= /usr/local
ARCHS ?= 80 90
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
# CUDA_HOME: unset = look for a toolkit; a folder = that one; empty = NVIDIA's wheels; none = no GPU kernels.
CUDA_FROM := $(if $(filter undefined,$(origin CUDA_HOME)),auto,$(or $(CUDA_HOME),wheels))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '%-5s %s\n' '$(1)' '$(2)')

ifneq ($(filter-out help clean distclean fmt asan tsan ubsan,$(or $(MAKECMDGOALS),all)),)
include $(O)/config.mk
$(O)/config.mk: FORCE
	@CC='$(CC)' CUDA_FROM='$(CUDA_FROM)' SETUP='$(SETUP)' tools/setup.sh $@ $(MAKECMDGOALS)
endif

# ---- flags ----
# -fno-strict-aliasing: log records are read in place from mapped bytes. -Wno-format-truncation: snprintf is used to cut.
WARN := -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wno-format-truncation -Werror
OPT := $(if $(DEBUG),-O0 -g3,$(if $(SAN),-O1 -g,-O2 -g))
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer$(if $(filter undefined,$(SAN)), -fno-sanitize-recover=all))
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) -fno-strict-aliasing -pthread -D_GNU_SOURCE -I. -I$(O)/gen \
             $(addprefix -isystem ,$(CUDA_INC)) $(SANFLAGS) $(FLAGS) $(CPPFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(SANFLAGS) -pthread -Wl,--as-needed $(LDFLAGS)
# Initial-exec: a preloaded library has static TLS, and the first touch of a thread's data must not call malloc.
DIRS = -DVS_BUILD_DIR='"$(abspath $(O))"' -DVS_SOURCE_DIR='"$(CURDIR)"'
# The CPU's kernels; libgomp goes into the program, which then runs where none is installed. ThreadSanitizer does not know it.
GOMP := $(if $(filter thread,$(SAN))$(findstring clang,$(shell $(CC) --version)),,$(filter /%,$(shell $(CC) -print-file-name=libgomp.a)))
OPENMP := $(if $(GOMP),-fopenmp)
LIB_FLAGS := -fPIC -fvisibility=hidden -ftls-model=initial-exec

# ---- files: a new file in a folder is picked up without an edit here ----
objs = $(patsubst %.c,$(O)/obj/%.o,$(wildcard $(addsuffix /*.c,$(1))))
PROFILER_OBJ := $(call objs,profiler)
TOOL_OBJ := $(call objs,cli db exporters viz)
WORK_OBJ := $(call objs,kernels workloads)
TEST_OBJ := $(call objs,tests)
CUDA_OBJ := $(patsubst %.cu,$(O)/obj/%.cu.o,$(wildcard kernels/*.cu)) \
            $(if $(CUDNN_INC),$(patsubst %.cpp,$(O)/obj/%.cpp.o,$(wildcard kernels/*.cpp)))
FAKE_SRC := $(wildcard tests/fake/*.c)
PROGRAMS := $(patsubst tests/programs/%.c,$(O)/tests/programs/%,$(wildcard tests/programs/*.c))
BENCHES := $(patsubst bench/%.c,$(O)/bench/%,$(wildcard bench/*.c))
SUITES := $(patsubst tests/test_%.c,%,$(wildcard tests/test_*.c))

LIBRARY := $(O)/lib/libvramscope.so
KERNELS := $(if $(and $(NVCC),$(CUDA_OBJ),$(if $(SAN),,1)),$(O)/lib/libvramscope_kernels.so)
TOOL := $(O)/bin/vramscope
WORKLOAD := $(O)/bin/vramscope-workload
RUNNER := $(O)/tests/runner

# Stand-ins: tests/fake/NAME.c becomes the library a program would load.
SONAME_cuda := libcuda.so.1
SONAME_cudart := libcudart.so.13
SONAME_cupti := libcupti.so.13
SONAME_nccl := libnccl.so.2
SONAME_cublas := libcublas.so.13
SONAME_cublas_later := libcublas.so.99
SONAME_cublasLt := libcublasLt.so.13
SONAME_c10 := libc10.so
SONAME_c10_cuda := libc10_cuda.so
SONAME_nvml := libnvidia-ml.so.1
soname = $(or $(SONAME_$(patsubst lib%,%,$(1))),lib$(patsubst lib%,%,$(1)).so)
FAKES := $(foreach f,$(FAKE_SRC:tests/fake/%.c=%),$(O)/fake/$(call soname,$(f)))

.PHONY: all lib kernels workloads check check-gpu asan tsan ubsan lint fmt bench bench-gpu fuzz soak demo install clean distclean help FORCE
all: lib kernels workloads $(TOOL) ## set up and build everything
lib: $(LIBRARY) ## the preloaded recorder alone
kernels: $(KERNELS) ## the GPU kernels (nothing without nvcc)
workloads: $(WORKLOAD) $(KERNELS) ## the built-in workloads

$(LIBRARY): $(PROFILER_OBJ) profiler/exports.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -shared -o $@ $(PROFILER_OBJ) $(LDFLAGS_ALL) -Wl,-soname,$(@F) -Wl,-z,defs -Wl,-z,nodelete \
	  -Wl,-Bsymbolic -Wl,--version-script=profiler/exports.map -ldl -lpthread

$(TOOL): $(TOOL_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -o $@ $^ $(LDFLAGS_ALL) $(SQLITE_LIBS) -lm -ldl -lpthread

$(WORKLOAD): $(WORK_OBJ)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -o $@ $^ $(LDFLAGS_ALL) $(GOMP) -lm -ldl -lpthread

# The only thing that links CUDA. The workload opens it when there is a GPU; cudart is inside, cuBLAS is found at run time.
$(O)/lib/libvramscope_kernels.so: $(CUDA_OBJ) $(addprefix $(O)/obj/kernels/,norms_args.o train.o comm.o) kernels/exports.map
	$(call say,NVLD,$@)
	$(Q)mkdir -p $(@D) && $(NVCC) -shared -o $@ $(filter %.o,$^) -L$(CUDA_LIB) -lcublas -ldl \
	  -Xlinker -z,defs,--version-script=kernels/exports.map,-rpath,$(abspath $(CUDA_LIB)),-rpath,/usr/local/cuda/lib64

# Archives: tests link the functions they name, no main and no recorder: -lc first, or dlsym would come from there.
$(O)/lib/tool.a: $(filter-out $(O)/obj/cli/main.o,$(TOOL_OBJ)) $(filter-out $(O)/obj/workloads/main.o,$(WORK_OBJ))
$(O)/lib/profiler.a: $(filter-out $(O)/obj/profiler/preload.o,$(PROFILER_OBJ))
$(O)/lib/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

$(RUNNER): $(TEST_OBJ) $(O)/lib/tool.a $(O)/lib/profiler.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -rdynamic -o $@ $(LDFLAGS_ALL) $(filter-out %/profiler.a,$^) -lc -ldl $(O)/lib/profiler.a \
	  $(GOMP) $(CHECK_LIBS) $(SQLITE_LIBS) -lm -ldl -lpthread
$(O)/bench/%: $(O)/obj/bench/%.o $(O)/lib/tool.a $(O)/lib/profiler.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -o $@ $^ $(LDFLAGS_ALL) $(GOMP) $(SQLITE_LIBS) -lm -ldl -lpthread

# A test program says what it links in a comment of its own: link: -ldl -l:libcuda.so.1
$(O)/tests/programs/%: tests/programs/%.c $(FAKES)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -MMD -MP -MF $@.d -o $@ $< $(LDFLAGS_ALL) -L$(O)/fake -Wl,-rpath-link,$(O)/fake \
	  $$(sed -n '1,12{s@ *\*/.*@@;s@.*link: *-@-@p}' $<)

$(O)/tests/programs/comm_ranks: $(O)/lib/tool.a

# The same programs with the CUDA runtime inside and beside them.
GPU_TESTS := $(if $(NVCC),$(addprefix $(O)/tests/,gpu/every_kind gpu/every_kind_shared \
               programs_cuda/oracle_static programs_cuda/oracle_shared))
$(GPU_TESTS): CUDART = static
$(filter %_shared,$(GPU_TESTS)): CUDART = shared
$(O)/tests/gpu/%: tests/gpu/every_kind.cu
	$(nvcc_program)
$(O)/tests/programs_cuda/%: tests/programs_cuda/oracle.cu tests/programs_cuda/account.h
	$(nvcc_program)
define nvcc_program
	$(call say,NVCC,$@)
	$(Q)mkdir -p $(@D) && $(NVCC) -std=c++17 -O2 $(GENCODE) -cudart $(CUDART) -o $@ $< -L$(CUDA_LIB) -Xlinker -rpath,$(abspath $(CUDA_LIB)) -ldl
endef

define fake_rule
$(O)/fake/$(call soname,$(1)): tests/fake/$(1).c
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D) && $$(CC) $$(CFLAGS_ALL) -fPIC -shared -MMD -MP -MF $$@.d -o $$@ $$< $$(LDFLAGS_ALL) -Wl,-soname,$$(@F) -ldl
endef
$(foreach f,$(FAKE_SRC:tests/fake/%.c=%),$(eval $(call fake_rule,$(f))))

# ---- objects ----
$(O)/obj/profiler/%.o: FLAGS = $(LIB_FLAGS)
# Our dlsym answers a sanitizer's own start-up, before its shadow memory exists.
$(O)/obj/profiler/driver_proc.o $(O)/obj/profiler/lookup.o: override SANFLAGS :=
# They read wherever an interpreter's pointers lead, which a sanitizer would take for a mistake.
$(patsubst %,$(O)/obj/profiler/%.o,py_walk py_code py_read py_text py_table src_python): override SANFLAGS :=
$(O)/obj/kernels/%.o: FLAGS = -O3 -fPIC $(OPENMP)
# Without OpenMP they have one thread: nothing for ThreadSanitizer to see, at ten times the time.
$(if $(filter thread,$(SAN)),$(eval $(O)/obj/kernels/%.o: override SANFLAGS :=))
$(O)/obj/viz/%.o: FLAGS = $(DIRS)
$(O)/obj/tests/%.o $(O)/obj/bench/%.o: FLAGS = $(DIRS)
$(O)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
GENCODE = $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_$(lastword $(ARCHS)),code=compute_$(lastword $(ARCHS))
# Hopper's own instructions exist for that one architecture alone; these files hold nothing else.
$(O)/obj/kernels/%_sm90.cu.o: GENCODE = -gencode arch=compute_90a,code=sm_90a
$(O)/obj/%.cu.o: %.cu
	$(call say,NVCC,$<)
	$(Q)mkdir -p $(@D) && $(NVCC) -std=c++17 -O3 -lineinfo $(GENCODE) -I. -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror \
	  -MMD -MF $(@:.o=.d) -c -o $@ $<
# What uses cuDNN, by NVIDIA's frontend: half a minute of plain C++. -MD: the frontend's headers change when its pin does.
$(O)/obj/%.cpp.o: %.cpp
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++17 -O1 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -DCUDNN_FRONTEND_SKIP_JSON_LIB \
	  -DNV_CUDNN_FRONTEND_DISABLE_LOGGING -I. $(addprefix -isystem ,$(CUDA_INC) $(CUDNN_INC)) -MD -MP -c -o $@ $<
# Text that travels inside the binary, by .incbin, which dependency files do not see.
$(O)/obj/db/schema.o: $(wildcard db/*.sql)
$(O)/obj/viz/gnuplot.o: $(wildcard viz/*.gp)
# The list of suites is the list of files tests/test_*.c.
$(O)/gen/tests/suites.inc: FORCE
	@mkdir -p $(@D); printf 'X(%s)\n' $(SUITES) | cmp -s - $@ || printf 'X(%s)\n' $(SUITES) > $@
$(O)/obj/tests/runner.o: $(O)/gen/tests/suites.inc

comma := ,

# ---- checks ----
# A preloaded sanitized library is not first in the load order; that is intended, as are forks of programs with threads and
# events raised in signal handlers.
SANENV := ASAN_OPTIONS=verify_asan_link_order=0:$(ASAN_OPTIONS) \
          LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0:$(LSAN_OPTIONS) \
          TSAN_OPTIONS=halt_on_error=1:die_after_fork=0:report_signal_unsafe=0:$(TSAN_OPTIONS)
RUN_TESTS = $(if $(SAN),$(SANENV) CK_TIMEOUT_MULTIPLIER=10 VS_TEST_SAN=$(SAN))
TESTED = all $(RUNNER) $(FAKES) $(PROGRAMS)
check: $(TESTED) ## every test that needs no GPU
	@$(RUN_TESTS) CK_EXCLUDE_TAGS='gpu fuzz soak' $(RUNNER)
check-gpu: $(TESTED) $(GPU_TESTS) ## the tests that need an NVIDIA GPU
	@$(RUN_TESTS) CK_INCLUDE_TAGS=gpu $(RUNNER)
fuzz: $(TESTED) ## damaged logs and odd input, for FUZZ_SECONDS (60)
	@VS_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(RUN_TESTS) CK_INCLUDE_TAGS=fuzz $(RUNNER)
soak: $(TESTED) ## the long tests
	@$(RUN_TESTS) CK_INCLUDE_TAGS=soak $(RUNNER)
asan: ; @$(MAKE) --no-print-directory O=$(O)/asan SAN=address check ## the tests under AddressSanitizer
tsan: ; @$(MAKE) --no-print-directory O=$(O)/tsan SAN=thread check ## the tests under ThreadSanitizer
ubsan: ; @$(MAKE) --no-print-directory O=$(O)/ubsan SAN=undefined check ## the tests under UndefinedBehaviorSanitizer
bench: all $(BENCHES) $(FAKES) $(PROGRAMS) ## the measurements of bench/
	@for b in $(BENCHES); do echo "== $$b"; $$b || exit 1; done
# On a machine with a GPU and PyTorch: results beside the tables in bench/results/.
PYTHON ?= python3
$(O)/bench/libnull_cupti.so: bench/null/null_cupti.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -fPIC -shared -o $@ $< -ldl
bench-gpu: all $(O)/bench/libnull_cupti.so ## recordings against PyTorch's and NCCL's own numbers; overhead against other profilers
	$(PYTHON) bench/correct.py --build $(O) --cases gpt,llama,expandable,async$(if $(GPUS),$(comma)fsdp --gpus $(GPUS))
	$(PYTHON) bench/overhead.py --build $(O) --size small --rounds 24 --instances 3
	$(PYTHON) bench/overhead.py --build $(O) --size big --rounds 12
lint: all ## clang-tidy, directions of includes, headers alone, exports, scripts
	@O='$(O)' CC='$(CC)' CUDA_INC='$(CUDA_INC)' tools/lint.sh
fmt: ## format the sources in place
	@clang-format -i $(wildcard $(addsuffix /*.[ch],profiler cli db exporters viz kernels workloads bench tests tests/fake tests/programs) kernels/*.cu)

demo: all ## record a first workload, draw its charts, print the summary
	@O='$(O)' tools/demo.sh
install: all ## into PREFIX (/usr/local), below DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(TOOL) $(WORKLOAD) $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(LIBRARY) $(KERNELS) $(DESTDIR)$(PREFIX)/lib
clean: ## remove what was built (fetched CUDA parts stay; distclean removes them too)
	@[ ! -d $(O) ] || find $(O) -mindepth 1 -maxdepth 1 ! -name cuda -exec rm -rf {} +
distclean: clean
	@rm -rf $(O)
help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' Makefile | awk -F@ '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo; echo 'Options: O=build V=1 DEBUG=1 SAN=address|thread|undefined CUDA_HOME=DIR (empty: NVIDIA wheels, none: no GPU part)'
	@echo '         ARCHS="80 90" CC=gcc PREFIX=/usr/local SETUP=0 (install nothing) FUZZ_SECONDS=60'

-include $(patsubst %.o,%.d,$(PROFILER_OBJ) $(TOOL_OBJ) $(WORK_OBJ) $(TEST_OBJ) $(CUDA_OBJ)) $(addsuffix .d,$(FAKES) $(PROGRAMS))
