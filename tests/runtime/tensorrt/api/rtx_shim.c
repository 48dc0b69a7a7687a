/* Lets the bindings of TensorRT 11.4 drive the compiler of TensorRT-RTX, which works without a GPU. For tests alone:
   the two share their interfaces, and nobody promises that they go on doing so. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

typedef void *(*Make)(void *, int);
typedef void *(*MakeOf)(void *, void *, int);
typedef int (*Version)(void);

static void *named(const char *library, const char *name) {
    void *handle = dlopen(getenv(library), RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL) abort();
    return dlsym(handle, name);
}

int getInferLibVersion(void) { return ((Version)named("RTX", "getInferLibVersion"))(); }
int getNvOnnxParserVersion(void) { return ((Version)named("PARSER", "getNvOnnxParserVersion"))(); }
int initLibNvInferPlugins(void *logger, const char *name) { return 1; }

/* Each library wants to hear its own version. */
void *createInferBuilder_INTERNAL(void *logger, int version) {
    return ((Make)named("RTX", "createInferBuilder_INTERNAL"))(logger, getInferLibVersion());
}
void *createInferRuntime_INTERNAL(void *logger, int version) {
    return ((Make)named("RTX", "createInferRuntime_INTERNAL"))(logger, getInferLibVersion());
}
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) {
    return ((MakeOf)named("RTX", "createInferRefitter_INTERNAL"))(engine, logger, getInferLibVersion());
}
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) {
    return ((MakeOf)named("PARSER", "createNvOnnxParser_INTERNAL"))(network, logger, getNvOnnxParserVersion());
}
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) {
    return ((MakeOf)named("PARSER", "createNvOnnxParserRefitter_INTERNAL"))(refitter, logger,
                                                                            getNvOnnxParserVersion());
}
void *getPluginRegistry(void) { return ((void *(*)(void))named("RTX", "getPluginRegistry"))(); }
void *getBuilderPluginRegistry(int capability) {
    return ((void *(*)(int))named("RTX", "getBuilderPluginRegistry"))(capability);
}
