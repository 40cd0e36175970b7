// Opening this library registers libmaskrt_plugins.so, which lies beside it, with the TensorRT of the process.
//
// For programs that only dlopen a plugin library and expect it to register itself: Triton (plugins=), DeepStream
// (custom-lib-path), trtexec --staticPlugins. A library of its own, because TensorRT's own loadLibrary (trtexec
// --dynamicPlugins, maskrt) would find the plugins of one that registers itself registered already. Where it cannot
// register them it says why on stderr; it never ends the process.
#include <dlfcn.h>
#include <link.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

// nvinfer1::IPluginRegistry up to loadLibrary, as the headers of TensorRT 10 and of TensorRT 11 order its virtual
// functions: the compiler numbers them in that order, and TensorRT 11 dropped three. Declared here, so that one binary
// serves every TensorRT; only loadLibrary is called. (Not in an anonymous namespace, where the compiler would conclude
// that nobody implements them.)
struct Registry10 {
    virtual bool register_v2_creator(void*, const char*) noexcept = 0;
    virtual void* v2_creators(std::int32_t*) const noexcept = 0;
    virtual void* v2_creator(const char*, const char*, const char*) noexcept = 0;
    virtual ~Registry10() noexcept = default;
    virtual void set_error_recorder(void*) noexcept = 0;
    virtual void* error_recorder() const noexcept = 0;
    virtual bool deregister_v2_creator(const void*) noexcept = 0;
    virtual bool is_parent_search_enabled() const = 0;
    virtual void set_parent_search_enabled(bool) = 0;
    virtual void* load_library(const char* path) noexcept = 0;
};

struct Registry11 {
    virtual ~Registry11() noexcept = default;
    virtual void set_error_recorder(void*) noexcept = 0;
    virtual void* error_recorder() const noexcept = 0;
    virtual bool is_parent_search_enabled() const = 0;
    virtual void set_parent_search_enabled(bool) = 0;
    virtual void* load_library(const char* path) noexcept = 0;
};

namespace {

constexpr std::array TENSORRT_NAMES = {"/libnvinfer.so", "/libnvinfer_lean.so", "/libtensorrt_rtx.so."};

int find_tensorrt(dl_phdr_info* library, std::size_t, void* found)
{
    for (const char* name : TENSORRT_NAMES) {
        if (std::strstr(library->dlpi_name, name) != nullptr) {
            *static_cast<std::string*>(found) = library->dlpi_name;
            return 1;  // ends the search
        }
    }
    return 0;
}

// `version` is getInferLibVersion's: 10000 * major + 100 * minor + patch. Null where the layout of that version is not
// known, or where TensorRT refuses.
void* load_library(void* registry, std::int32_t version, const char* path)
{
    switch (version / 10000) {
    case 10: return static_cast<Registry10*>(registry)->load_library(path);
    case 11:
    case 1:  // TensorRT-RTX
        return static_cast<Registry11*>(registry)->load_library(path);
    default: return nullptr;
    }
}

// The folder of this library, with a slash at its end.
std::string own_folder()
{
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(&own_folder), &info);
    const std::string path = info.dli_fname;
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

__attribute__((constructor)) void register_plugins()
{
    std::string tensorrt;
    dl_iterate_phdr(find_tensorrt, &tensorrt);
    void* handle = tensorrt.empty() ? nullptr : dlopen(tensorrt.c_str(), RTLD_NOLOAD | RTLD_LAZY);
    if (handle == nullptr) {
        std::fprintf(stderr, "libmaskrt_autoload.so: there is no TensorRT in this process yet, so nothing is registered. "
            "Load it after TensorRT: not with LD_PRELOAD, but with the program's option for plugins.\n");
        return;
    }
    const auto version = reinterpret_cast<std::int32_t (*)()>(dlsym(handle, "getInferLibVersion"));
    const auto registry = reinterpret_cast<void* (*)()>(dlsym(handle, "getPluginRegistry"));
    const std::string plugins = own_folder() + "libmaskrt_plugins.so";
    if (version == nullptr || registry == nullptr || load_library(registry(), version(), plugins.c_str()) == nullptr) {
        std::fprintf(stderr, "libmaskrt_autoload.so: %s (version %d) did not take %s; it has to be TensorRT 10 or 11, or "
            "TensorRT-RTX 1, and its log may say more.\n",
            tensorrt.c_str(), version == nullptr ? 0 : version(), plugins.c_str());
    }
}

}  // namespace
