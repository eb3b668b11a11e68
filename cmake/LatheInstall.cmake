# The program finds its plugins relative to itself (../lib/lathe/plugins), so an installed tree may be moved.
if(TARGET lathe)
    install(TARGETS lathe RUNTIME DESTINATION bin)
endif()
if(LATHE_PLUGIN_TARGETS)
    install(TARGETS ${LATHE_PLUGIN_TARGETS} LIBRARY DESTINATION lib/lathe/plugins)
endif()
install(DIRECTORY "${CMAKE_SOURCE_DIR}/sdk/include/lathe" DESTINATION include
        FILES_MATCHING PATTERN "*.h")
foreach(folder pipelines sdk/template)
    if(IS_DIRECTORY "${CMAKE_SOURCE_DIR}/${folder}")
        install(DIRECTORY "${CMAKE_SOURCE_DIR}/${folder}" DESTINATION share/lathe)
    endif()
endforeach()
configure_file("${CMAKE_SOURCE_DIR}/packaging/lathe.service.in" "${CMAKE_BINARY_DIR}/lathe.service" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/lathe.service" "${CMAKE_SOURCE_DIR}/packaging/lathe.socket"
        DESTINATION lib/systemd/system)
