/* SPDX-License-Identifier: MIT */
/*
 * nvtx_abi.c: compares profiler/nvtx_abi.h, which the recorder is built from, with NVIDIA's headers: that it compiles is the
 * test. Exit status 77: built where there are no such headers.
 */
#if !__has_include(<nvtx3/nvToolsExtMem.h>)
int main(void)
{
    return 77;
}
#else
#define NVTX_NO_IMPL
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>
#include <nvtx3/nvToolsExtPayload.h>

#include "profiler/nvtx_abi.h"

#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(struct ours) == sizeof(theirs), #theirs)
#define SAME_AT(ours, a, theirs, b) \
    _Static_assert(offsetof(struct ours, a) == offsetof(theirs, b) && \
                       sizeof(((struct ours *)0)->a) == sizeof(((theirs *)0)->b), #theirs "." #b)
#define X(n, ours, name) _Static_assert(NVTX_CBID_CORE_##name == n, #name);
VS_NVTX_CORE(X)
#undef X
#define X(n, ours, name) _Static_assert(NVTX_CBID_CORE2_##name == n, #name);
VS_NVTX_CORE2(X)
#undef X
#define X(n, ours, name) _Static_assert(NVTX3EXT_CBID_nvtx##name == n, #name);
VS_NVTX_MEM(X)
VS_NVTX_PAYLOAD(X)
#undef X
_Static_assert(NVTX_CBID_CORE_SIZE == 16 && NVTX_CBID_CORE2_SIZE == 16, "no callback is missing");
_Static_assert((int)NVTX_CB_MODULE_CORE == VS_NVTX_MODULE_CORE && (int)NVTX_CB_MODULE_CORE2 == VS_NVTX_MODULE_CORE2, "modules");
_Static_assert((int)NVTX_ETID_CALLBACKS == VS_NVTX_ETID_CALLBACKS && (int)NVTX_ETID_VERSIONINFO == VS_NVTX_ETID_VERSIONINFO, "tables");
_Static_assert(NVTX_EXT_MODULEID_MEM == VS_NVTX_EXT_MEM && NVTX_EXT_PAYLOAD_MODULEID == VS_NVTX_EXT_PAYLOAD, "extensions");
_Static_assert(NVTX_EXT_COMPATID_MEM >> 8 == VS_NVTX_MEM_COMPAT >> 8, "generation of the memory extension");
_Static_assert(NVTX_PAYLOAD_TYPE_EXT == VS_NVTX_PAYLOAD_EXT && NVTX_NO_PUSH_POP_TRACKING == VS_NVTX_NO_TRACKING, "values");
_Static_assert(NVTX_MESSAGE_TYPE_ASCII == 1 && NVTX_MESSAGE_TYPE_UNICODE == 2 && NVTX_MESSAGE_TYPE_REGISTERED == 3, "types");
_Static_assert((int)NVTX_COLOR_ARGB == VS_NVTX_COLOR_ARGB && NVTX_MEM_TYPE_VIRTUAL_ADDRESS == VS_NVTX_MEM_VIRTUAL, "types");
_Static_assert(NVTX_MEM_REGION_REF_TYPE_POINTER == VS_NVTX_REF_POINTER, "refs");
_Static_assert(NVTX_MEM_REGION_REF_TYPE_HANDLE == VS_NVTX_REF_HANDLE, "refs");
_Static_assert((int)NVTX_RESOURCE_TYPE_GENERIC_THREAD_NATIVE == VS_NVTX_RESOURCE_THREAD_NATIVE, "resources");
SAME_SIZE(vs_nvtx_callbacks, NvtxExportTableCallbacks);
SAME_AT(vs_nvtx_callbacks, get_module_table, NvtxExportTableCallbacks, GetModuleFunctionTable);
SAME_SIZE(vs_nvtx_version_info, NvtxExportTableVersionInfo);
SAME_SIZE(vs_nvtx_segment, nvtxExtModuleSegment_t);
SAME_SIZE(vs_nvtx_module, nvtxExtModuleInfo_t);
SAME_AT(vs_nvtx_module, segments, nvtxExtModuleInfo_t, segments);
SAME_AT(vs_nvtx_module, compat, nvtxExtModuleInfo_t, compatId);
SAME_SIZE(vs_nvtx_attributes, nvtxEventAttributes_t);
SAME_AT(vs_nvtx_attributes, color, nvtxEventAttributes_t, color);
SAME_AT(vs_nvtx_attributes, payload_count, nvtxEventAttributes_t, reserved0);
SAME_AT(vs_nvtx_attributes, message, nvtxEventAttributes_t, message);
SAME_SIZE(vs_nvtx_payload, nvtxPayloadData_t);
SAME_SIZE(vs_nvtx_resource, nvtxResourceAttributes_t);
SAME_AT(vs_nvtx_resource, identifier, nvtxResourceAttributes_t, identifier);
SAME_SIZE(vs_nvtx_mem_range, nvtxMemVirtualRangeDesc_t);
SAME_AT(vs_nvtx_mem_range, ptr, nvtxMemVirtualRangeDesc_t, ptr);
SAME_SIZE(vs_nvtx_heap, nvtxMemHeapDesc_t);
SAME_AT(vs_nvtx_heap, range, nvtxMemHeapDesc_t, typeSpecificDesc);
SAME_AT(vs_nvtx_heap, message, nvtxMemHeapDesc_t, message);
SAME_SIZE(vs_nvtx_regions, nvtxMemRegionsRegisterBatch_t);
SAME_AT(vs_nvtx_regions, heap, nvtxMemRegionsRegisterBatch_t, heap);
SAME_AT(vs_nvtx_regions, handles, nvtxMemRegionsRegisterBatch_t, regionHandleElementsOut);
SAME_SIZE(vs_nvtx_regions_resize, nvtxMemRegionsResizeBatch_t);
SAME_SIZE(vs_nvtx_regions_unregister, nvtxMemRegionsUnregisterBatch_t);
SAME_SIZE(vs_nvtx_regions_name, nvtxMemRegionsNameBatch_t);
SAME_AT(vs_nvtx_regions_name, elements, nvtxMemRegionsNameBatch_t, regionElements);
SAME_SIZE(vs_nvtx_region_name, nvtxMemRegionNameDesc_t);
SAME_AT(vs_nvtx_region_name, name, nvtxMemRegionNameDesc_t, name);

int main(void)
{
    return 0;
}
#endif
