# Libraries and the chart script; each is named with its Debian package where it is missing.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(lathe_need target module package)
    pkg_check_modules(${target} IMPORTED_TARGET ${module})
    if(NOT ${target}_FOUND)
        message(FATAL_ERROR "${module} was not found. Install ${package}, or run: ./dev setup")
    endif()
endfunction()

lathe_need(UV libuv libuv1-dev)
lathe_need(CJSON libcjson libcjson-dev)
lathe_need(SQLITE sqlite3 libsqlite3-dev)
lathe_need(ZLIB zlib zlib1g-dev)
lathe_need(BLAS openblas libopenblas-dev)
# Loaded when it is first needed (host/plugin/blas.c), so what is wanted is its header and its name at run time.
find_library(LATHE_BLAS_LIBRARY openblas HINTS ${BLAS_LIBRARY_DIRS} DOC "The CBLAS library")
execute_process(COMMAND ${CMAKE_OBJDUMP} -p "${LATHE_BLAS_LIBRARY}" OUTPUT_VARIABLE blas_headers ERROR_QUIET)
if(blas_headers MATCHES "SONAME +([^ \n]+)")
    set(LATHE_BLAS_SONAME "${CMAKE_MATCH_1}")
else()
    message(FATAL_ERROR "${LATHE_BLAS_LIBRARY} has no SONAME that objdump can tell. Install libopenblas-dev and "
                        "binutils, or run: ./dev setup")
endif()
lathe_need(CRYPTO libcrypto libssl-dev)
lathe_need(SSL libssl libssl-dev)
lathe_need(CURL libcurl libcurl4-openssl-dev) # its headers; the library is loaded when a verb asks a service

# llhttp, the HTTP parser of Node.js: a library where there is one, else (Debian 12) the C sources of the package.
pkg_check_modules(LLHTTP IMPORTED_TARGET libllhttp)
if(LLHTTP_FOUND)
    add_library(lathe_llhttp INTERFACE)
    target_link_libraries(lathe_llhttp INTERFACE PkgConfig::LLHTTP)
else()
    find_path(LATHE_LLHTTP_SOURCES llhttp.c PATHS /usr/share/llhttp /usr/local/share/llhttp NO_DEFAULT_PATH
              DOC "The C sources of llhttp")
    find_path(LATHE_LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp /usr/include/llhttp
                                                  "${LATHE_LLHTTP_SOURCES}/../include/llhttp"
              NO_DEFAULT_PATH DOC "The folder of llhttp.h")
    if(NOT LATHE_LLHTTP_SOURCES OR NOT LATHE_LLHTTP_INCLUDE)
        message(FATAL_ERROR "llhttp was not found. Install node-llhttp (Debian 12) or libllhttp-dev, "
                            "or run: ./dev setup")
    endif()
    add_library(lathe_llhttp STATIC "${LATHE_LLHTTP_SOURCES}/llhttp.c" "${LATHE_LLHTTP_SOURCES}/api.c"
                                    "${LATHE_LLHTTP_SOURCES}/http.c")
    target_include_directories(lathe_llhttp SYSTEM PUBLIC "${LATHE_LLHTTP_INCLUDE}")
    target_compile_options(lathe_llhttp PRIVATE -w -fvisibility=hidden)
    if(LATHE_SANITIZE)
        target_compile_options(lathe_llhttp PRIVATE -fsanitize=${LATHE_SANITIZE}
                                                    -fno-sanitize-recover=all)
    endif()
endif()

find_file(LATHE_CHART_JS NAMES Chart.min.js chart.min.js
          PATHS /usr/share/javascript/chart.js /usr/local/share/javascript/chart.js
          DOC "Chart.js, minified, for the pages")
if(NOT LATHE_CHART_JS)
    message(FATAL_ERROR "Chart.js was not found. Install libjs-chart.js, or run: ./dev setup")
endif()
