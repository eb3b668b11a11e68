# host/: one static library a layer, in the order in which they may include each other, and the program.
set(LATHE_LAYERS base data plugin model monitor store web pipeline serve cli)

set(LATHE_GENERATED "${CMAKE_BINARY_DIR}/generated")
set(LATHE_EMBEDDED "")
# lathe_embed(NAME file…): #include "generated/NAME.h" gives lathe_NAME[] and lathe_NAME_len, the files end to end.
function(lathe_embed name)
    set(header "${LATHE_GENERATED}/generated/${name}.h")
    list(JOIN ARGN "|" files)
    add_custom_command(
        OUTPUT "${header}"
        COMMAND ${CMAKE_COMMAND} -E make_directory "${LATHE_GENERATED}/generated"
        COMMAND ${CMAKE_COMMAND} "-DIN=${files}" "-DOUT=${header}" -DNAME=lathe_${name}
                -P "${CMAKE_SOURCE_DIR}/cmake/embed.cmake"
        DEPENDS ${ARGN} "${CMAKE_SOURCE_DIR}/cmake/embed.cmake"
        COMMENT "Embedding ${name}"
        VERBATIM)
    set(LATHE_EMBEDDED ${LATHE_EMBEDDED} "${header}" PARENT_SCOPE)
endfunction()

# For host/web: the chart library and the page's own skeleton, style and script (in the order of their names).
set(page "${CMAKE_SOURCE_DIR}/host/web/page")
file(GLOB page_scripts CONFIGURE_DEPENDS "${page}/*.js")
lathe_embed(chart_js "${LATHE_CHART_JS}")
lathe_embed(page_html "${page}/page.html")
lathe_embed(page_css "${page}/page.css")
lathe_embed(page_js ${page_scripts})
# For host/serve: the schemas of the API's answers.
lathe_embed(api_schemas "${CMAKE_SOURCE_DIR}/host/serve/api/schemas.json")
# For host/cli: what `lathe plugins new` writes.
file(GLOB skeletons CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/sdk/template/kinds/*.c")
foreach(skeleton IN LISTS skeletons)
    get_filename_component(kind "${skeleton}" NAME_WE)
    lathe_embed(skeleton_${kind} "${skeleton}")
endforeach()
lathe_embed(skeleton_makefile "${CMAKE_SOURCE_DIR}/sdk/template/Makefile")
add_custom_target(lathe_embedded_headers DEPENDS ${LATHE_EMBEDDED})

add_library(lathe_flags INTERFACE)
target_compile_options(lathe_flags INTERFACE ${LATHE_FLAGS})
target_link_options(lathe_flags INTERFACE ${LATHE_LINK_FLAGS})

add_library(lathe_host_flags INTERFACE)
target_compile_definitions(lathe_host_flags INTERFACE _GNU_SOURCE LATHE_VERSION="${PROJECT_VERSION}")
target_include_directories(lathe_host_flags SYSTEM INTERFACE ${BLAS_INCLUDE_DIRS})
target_compile_definitions(lathe_host_flags INTERFACE LATHE_BLAS_SONAME="${LATHE_BLAS_SONAME}")
target_include_directories(lathe_host_flags INTERFACE "${CMAKE_SOURCE_DIR}/host"
                                                      "${CMAKE_SOURCE_DIR}/sdk/include"
                                                      "${LATHE_GENERATED}")
target_link_libraries(lathe_host_flags INTERFACE lathe_flags Threads::Threads PkgConfig::UV
                      PkgConfig::CJSON PkgConfig::SQLITE PkgConfig::ZLIB
                      PkgConfig::CRYPTO ${CMAKE_DL_LIBS} m)

set(LATHE_LAYER_TARGETS "") # those that exist, lowest first
foreach(layer IN LISTS LATHE_LAYERS)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/host/${layer}/*.c"
                                        "${CMAKE_SOURCE_DIR}/host/${layer}/*/*.c")
    if(layer STREQUAL "cli")
        list(REMOVE_ITEM sources "${CMAKE_SOURCE_DIR}/host/cli/main.c")
    endif()
    if(NOT sources)
        continue()
    endif()
    set(below ${LATHE_LAYER_TARGETS})
    list(REVERSE below) # a linker wants the user before the used
    add_library(lathe_${layer} STATIC ${sources})
    set_target_properties(lathe_${layer} PROPERTIES C_EXTENSIONS ON)
    target_link_libraries(lathe_${layer} PUBLIC ${below} lathe_host_flags)
    if(layer MATCHES "^(web|serve)$")
        add_dependencies(lathe_${layer} lathe_embedded_headers)
    endif()
    if(layer STREQUAL "cli")
        target_include_directories(lathe_cli SYSTEM PRIVATE ${CURL_INCLUDE_DIRS})
    endif()
    if(layer STREQUAL "serve") # only what serves needs HTTP and TLS
        target_link_libraries(lathe_serve PUBLIC lathe_llhttp PkgConfig::SSL)
    endif()
    list(APPEND LATHE_LAYER_TARGETS lathe_${layer})
endforeach()

file(GLOB main_source CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/host/cli/main.c")
if(main_source)
    set(layers ${LATHE_LAYER_TARGETS})
    list(REVERSE layers)
    add_executable(lathe ${main_source})
    set_target_properties(lathe PROPERTIES C_EXTENSIONS ON)
    target_link_libraries(lathe PRIVATE ${layers} lathe_host_flags)
endif()
