# plugins/: plugins/<kind>/<name>.c, or all of plugins/<kind>/<name>/*.c, becomes <kind>_<name>.so. A plugin sees
# sdk/include alone, links nothing but libm (sources: zlib too), and exports nothing but its entry.
add_custom_target(plugins)
set(LATHE_PLUGIN_TARGETS "")

# lathe_add_plugin(target output_folder file_name sources…)
function(lathe_add_plugin target folder name)
    add_library(${target} MODULE ${ARGN})
    set_target_properties(${target} PROPERTIES
        C_EXTENSIONS OFF
        PREFIX ""
        OUTPUT_NAME "${name}"
        LIBRARY_OUTPUT_DIRECTORY "${folder}")
    target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/sdk/include")
    target_link_libraries(${target} PRIVATE m)
endfunction()

file(GLOB kinds CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/plugins/*")
foreach(kind_path IN LISTS kinds)
    if(NOT IS_DIRECTORY "${kind_path}")
        continue()
    endif()
    get_filename_component(kind "${kind_path}" NAME)
    file(GLOB files CONFIGURE_DEPENDS "${kind_path}/*.c")
    # one glob at two depths, so that the first file of a new folder is noticed
    file(GLOB deep CONFIGURE_DEPENDS "${kind_path}/*/*.c")
    set(units ${files})
    foreach(file IN LISTS deep)
        get_filename_component(unit "${file}" DIRECTORY)
        list(APPEND units "${unit}")
    endforeach()
    if(units)
        list(REMOVE_DUPLICATES units)
    endif()
    foreach(unit IN LISTS units)
        if(IS_DIRECTORY "${unit}")
            get_filename_component(name "${unit}" NAME)
            file(GLOB sources CONFIGURE_DEPENDS "${unit}/*.c")
        else()
            get_filename_component(name "${unit}" NAME_WE)
            set(sources "${unit}")
        endif()
        set(target plugin_${kind}_${name})
        if(TARGET ${target})
            message(FATAL_ERROR "plugins/${kind}/${name}.c and plugins/${kind}/${name}/ would both "
                                "make ${kind}_${name}.so; rename one")
        endif()
        lathe_add_plugin(${target} "${LATHE_PLUGIN_DIR}" "${kind}_${name}" ${sources})
        target_link_libraries(${target} PRIVATE lathe_flags)
        if(kind STREQUAL "sources") # the one kind that reads files, also compressed ones
            target_link_libraries(${target} PRIVATE PkgConfig::ZLIB)
        endif()
        if(NOT LATHE_SANITIZE)
            target_link_options(${target} PRIVATE -Wl,-z,defs) # no symbol of the host's by accident
        endif()
        add_dependencies(plugins ${target})
        list(APPEND LATHE_PLUGIN_TARGETS ${target})
    endforeach()
endforeach()

# A plugin whose source is gone must not stay in the folder: the host would still load it.
set(names "")
foreach(target IN LISTS LATHE_PLUGIN_TARGETS)
    get_target_property(name ${target} OUTPUT_NAME)
    list(APPEND names "${name}.so")
endforeach()
file(GLOB built "${LATHE_PLUGIN_DIR}/*.so")
foreach(file IN LISTS built)
    get_filename_component(name "${file}" NAME)
    if(NOT name IN_LIST names)
        file(REMOVE "${file}")
    endif()
endforeach()
