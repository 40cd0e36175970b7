# Finds nvcc (CUDACXX, PATH, /usr/local/cuda) and chooses the GPU architectures, before project() asks for both.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc PATHS /usr/local/cuda/bin)
endif()
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    message(FATAL_ERROR "nvcc was not found. Install the CUDA toolkit, or set CUDACXX to its nvcc. "
        "(The host library alone needs none: -DMASKRT_HOST_ONLY=ON.)")
endif()

if(NOT CMAKE_CUDA_ARCHITECTURES)
    # Turing, A100, Ampere, Orin, Ada, Hopper, Blackwell: those that this nvcc knows.
    set(wanted 75 80 86 87 89 90 120)
    if(CMAKE_CUDA_COMPILER)
        set(nvcc ${CMAKE_CUDA_COMPILER})
    else()
        set(nvcc $ENV{CUDACXX})
    endif()
    execute_process(COMMAND ${nvcc} --list-gpu-arch OUTPUT_VARIABLE known RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "${nvcc} --list-gpu-arch failed: CUDA 11.7 or newer is needed.")
    endif()
    foreach(architecture IN LISTS wanted)
        if(known MATCHES "compute_${architecture}(\n|$)")
            list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-real)
            set(newest ${architecture})
        endif()
    endforeach()
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)  # PTX, for GPUs newer than the list
endif()
