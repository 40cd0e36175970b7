# Sets TENSORRT_INCLUDE_DIR: from the variable TENSORRT_INCLUDE, the system, or PyPI (kernel-lens carries the headers of
# TensorRT 10.14, which is also what the plugins need to load into TensorRT 11 and TensorRT-RTX).
set(MASKRT_PYTHON python3 CACHE STRING "The Python whose pip fetches the TensorRT headers where none are installed")
set(kernel_lens kernel-lens==2.0.1)
set(downloaded ${CMAKE_BINARY_DIR}/tensorrt_headers)
unset(TENSORRT_INCLUDE_DIR CACHE)  # of an earlier build: TENSORRT_INCLUDE may have been set or changed since

if(DEFINED ENV{TENSORRT_INCLUDE})
    find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h PATHS $ENV{TENSORRT_INCLUDE} NO_DEFAULT_PATH)
    if(NOT TENSORRT_INCLUDE_DIR)
        message(FATAL_ERROR "TENSORRT_INCLUDE is $ENV{TENSORRT_INCLUDE}, but there is no NvInferRuntime.h in it.")
    endif()
endif()
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h
    PATHS /usr/src/tensorrt/include /usr/local/TensorRT/include /usr/local/tensorrt/include /opt/tensorrt/include
    ${downloaded}/kernel_lens/include/tensorrt)
if(NOT TENSORRT_INCLUDE_DIR)
    message(STATUS "No TensorRT headers on this machine: fetching ${kernel_lens}")
    execute_process(COMMAND ${MASKRT_PYTHON} -m pip download --quiet --retries 1 --no-deps --dest ${downloaded} ${kernel_lens}
        RESULT_VARIABLE failed ERROR_VARIABLE reason OUTPUT_QUIET)
    file(GLOB wheel ${downloaded}/kernel_lens-*.whl)
    if(NOT failed AND wheel)
        file(ARCHIVE_EXTRACT INPUT ${wheel} DESTINATION ${downloaded})
        find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h PATHS ${downloaded}/kernel_lens/include/tensorrt NO_DEFAULT_PATH)
    endif()
endif()

if(TENSORRT_INCLUDE_DIR)
    message(STATUS "TensorRT headers: ${TENSORRT_INCLUDE_DIR}")
    file(STRINGS ${TENSORRT_INCLUDE_DIR}/NvInferVersion.h version_line
        REGEX "^#define (NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) +[0-9]+")
    string(REGEX MATCH "[0-9]+" tensorrt_major "${version_line}")
    if(tensorrt_major LESS 10)
        message(FATAL_ERROR "The headers in ${TENSORRT_INCLUDE_DIR} are of TensorRT ${tensorrt_major}; the plugins need "
            "TensorRT 10 or newer. Set TENSORRT_INCLUDE to the include folder of such a version.")
    endif()
elseif(MASKRT_TENSORRT STREQUAL "AUTO")
    message(WARNING "No TensorRT headers: building the kernels without the TensorRT plugins around them.")
else()
    message(FATAL_ERROR "No TensorRT headers: set TENSORRT_INCLUDE to the folder of NvInferRuntime.h, or install "
        "TensorRT's development package (libnvinfer-headers-dev). Fetching ${kernel_lens} failed: ${reason}")
endif()
