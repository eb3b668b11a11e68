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
lathe_need(CRYPTO libcrypto libssl-dev)

find_file(LATHE_CHART_JS NAMES Chart.min.js chart.min.js
          PATHS /usr/share/javascript/chart.js /usr/local/share/javascript/chart.js
          DOC "Chart.js, minified, for the pages")
if(NOT LATHE_CHART_JS)
    message(FATAL_ERROR "Chart.js was not found. Install libjs-chart.js, or run: ./dev setup")
endif()
