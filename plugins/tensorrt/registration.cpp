// The two functions that TensorRT's plugin registry looks for in a library.
#include <NvInferRuntime.h>

#include "decode_keypoints.h"
#include "detection_output.h"
#include "generate_proposals.h"
#include "logger.h"
#include "multilevel_roi_align.h"

extern "C" MASKRT_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder)
{
    maskrt::set_logger_finder(finder);
}

extern "C" MASKRT_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count)
{
    static maskrt::MultilevelRoIAlignCreator roi_align;
    static maskrt::DecodeKeypointsCreator keypoints;
    static maskrt::GenerateProposalsCreator proposals;
    static maskrt::DetectionOutputCreator detections;
    static nvinfer1::IPluginCreatorInterface* const creators[] = {&roi_align, &keypoints, &proposals, &detections};
    count = 4;
    return creators;
}
