# Build type, warnings, numbers, sanitizers, coverage: the flags common to all our C code.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, RelWithDebInfo" FORCE)
endif()
set(LATHE_SANITIZE "" CACHE STRING "address,undefined or thread; empty: none")
option(LATHE_COVERAGE "Count executed lines (gcov)" OFF)
option(LATHE_FUZZ "Build the harnesses of tests/fuzz (clang with its libFuzzer)" OFF)
option(LATHE_WERROR "Warnings are errors" ON)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_RELEASE "-O3 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(LATHE_PLUGIN_DIR "${CMAKE_BINARY_DIR}/lib/lathe/plugins")

# The same bits on every compiler: no fused multiply-add unless written, no reassociation.
# -fno-math-errno and -fno-trapping-math change no result: they only drop errno and exception flags.
set(LATHE_FLAGS -Wall -Wextra -ffp-contract=off -fno-math-errno -fno-trapping-math
                -fvisibility=hidden)
if(LATHE_WERROR)
    list(APPEND LATHE_FLAGS -Werror)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # snprintf cuts by design here: texts of errors and logs have fixed sizes.
    list(APPEND LATHE_FLAGS -Wno-format-truncation)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT LATHE_SANITIZE STREQUAL "")
    # Instrumented code confuses these two of gcc's flow analyses; the plain build keeps them as errors.
    list(APPEND LATHE_FLAGS -Wno-maybe-uninitialized -Wno-stringop-overflow)
endif()

set(LATHE_LINK_FLAGS "")
if(LATHE_SANITIZE)
    if(NOT LATHE_SANITIZE MATCHES "^(address|undefined|thread)(,(address|undefined))?$")
        message(FATAL_ERROR "LATHE_SANITIZE is '${LATHE_SANITIZE}'; use address, undefined, "
                            "address,undefined or thread")
    endif()
    list(APPEND LATHE_FLAGS -fsanitize=${LATHE_SANITIZE} -fno-omit-frame-pointer
                            -fno-sanitize-recover=all)
    list(APPEND LATHE_LINK_FLAGS -fsanitize=${LATHE_SANITIZE})
    if(LATHE_SANITIZE MATCHES "undefined" AND NOT LATHE_FUZZ) # a number of a document's into an integer: not among the rest
        list(APPEND LATHE_FLAGS -fsanitize=float-cast-overflow)
        list(APPEND LATHE_LINK_FLAGS -fsanitize=float-cast-overflow)
    endif()
    if(LATHE_SANITIZE STREQUAL "thread") # host/base/sanitizer.c tells of libuv's closes
        list(APPEND LATHE_LINK_FLAGS -Wl,--undefined=syscall)
    endif()
endif()
if(LATHE_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "LATHE_FUZZ needs clang: cmake --preset fuzz")
    endif()
    list(APPEND LATHE_FLAGS -fsanitize=fuzzer-no-link -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
    # plugins find the counters of libFuzzer in the program
    list(APPEND LATHE_LINK_FLAGS -fsanitize=fuzzer-no-link -Wl,--export-dynamic)
endif()
if(LATHE_COVERAGE)
    list(APPEND LATHE_FLAGS --coverage -fprofile-update=atomic)
    list(APPEND LATHE_LINK_FLAGS --coverage)
endif()
