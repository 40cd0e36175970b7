/* The C interface of libmaskrt_plugins.so (CUDA) and libmaskrt_host.so (the same arithmetic on the CPU).
 * plugins/abi.py mirrors these structures; maskrt_abi_version() tells whether the two still agree. */
#ifndef MASKRT_PLUGINS_H
#define MASKRT_PLUGINS_H

#include <stdint.h>

#define MASKRT_ABI_VERSION 8
#define MASKRT_MAX_LEVELS 8     /* of RoIAlign */
#define MASKRT_MAX_RPN_LEVELS 8
#define MASKRT_LARGEST_HEATMAP (1 << 20) /* cells */
#define MASKRT_MAX_CELL_ANCHORS 128
#define MASKRT_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

enum { MASKRT_FLOAT32 = 0, MASKRT_FLOAT16 = 1, MASKRT_UINT8 = 2 };

/* How pixels are resized; contract/pipeline.py says what each is. Bilinear on a uint8 canvas is OpenCV's. */
enum { MASKRT_BILINEAR = 0, MASKRT_PILLOW_BILINEAR = 1, MASKRT_OPENCV_BILINEAR = 2 };

/* How masks are pasted; contract/pipeline.py says what each is. */
enum { MASKRT_INTEGER_BOX = 0, MASKRT_PIXEL_CENTERS = 1 };

/* What the logits of DetectionOutput become scores by; MASKRT_SCORES: they are scores. */
enum { MASKRT_SOFTMAX = 0, MASKRT_SIGMOID = 1, MASKRT_SCORES = 2 };

/* Status: 0 is success, negative values are below, positive ones are cudaError_t. */
enum { MASKRT_INVALID_ARGUMENT = -1, MASKRT_TOO_LARGE = -2 };

/* The attributes of MultilevelRoIAlign. */
typedef struct MaskrtRoiAlignAttributes {
    int32_t output_height, output_width;
    int32_t sampling_ratio; /* 0: adaptive */
    int32_t half_pixel;     /* 1: torchvision's aligned=True */
    int32_t max_mode;       /* 1: maximum of a bin's samples, 0: their mean */
    int32_t level_count;
    float scales[MASKRT_MAX_LEVELS];               /* feature size / canvas size, finest first */
    float level_thresholds[MASKRT_MAX_LEVELS - 1]; /* on sqrt(area), ascending */
} MaskrtRoiAlignAttributes;

/* One call of MultilevelRoIAlign. Pointers are to dense arrays, of the host or of the device, whichever library it is.
 * Channels-last features are [batch, height, width, channel_stride] with channel_stride >= channels, the output
 * [batch * rois_per_image, output_height, output_width, channel_stride]. */
typedef struct MaskrtRoiAlign {
    MaskrtRoiAlignAttributes attributes;
    int32_t batch, rois_per_image, channels;
    int32_t data_type;     /* MASKRT_FLOAT32 or MASKRT_FLOAT16, of the features and the output */
    int32_t channels_last; /* 1: channel_stride channels to a pixel, in whole 16-byte vectors */
    int32_t channel_stride;
    int32_t linear_output; /* 1: the output is channels first all the same, [.., channels, output_height, output_width] */
    int32_t heights[MASKRT_MAX_LEVELS], widths[MASKRT_MAX_LEVELS];
    const float* rois; /* [batch, rois_per_image, 4] xyxy canvas pixels */
    int32_t* order;    /* [batch, rois_per_image], written: in which the RoIs are pooled, for the cache's sake; or NULL */
    const void* features[MASKRT_MAX_LEVELS];
    void* output;
} MaskrtRoiAlign;

/* One call of BatchedNMS. Each image has its own thresholds. */
typedef struct MaskrtBatchedNms {
    int32_t batch, boxes_per_image, max_output;
    const float* boxes;           /* [batch, boxes_per_image, 4] xyxy */
    const float* scores;          /* [batch, boxes_per_image] */
    const int32_t* groups;        /* [batch, boxes_per_image] */
    const float* iou_threshold;   /* [batch, 1] */
    const float* score_threshold; /* [batch, 1] */
    int32_t* num;                 /* [batch] */
    int32_t* indices;             /* [batch, max_output], -1 padded */
} MaskrtBatchedNms;

/* One call of DecodeKeypoints: of each heatmap, stretched over its box, the place of the maximum and its score. */
typedef struct MaskrtDecodeKeypoints {
    int32_t rois, keypoints; /* R = B * K boxes with N heatmaps each */
    int32_t map_height, map_width;
    int32_t normalized;    /* score: 0: the logit at the maximum (torchvision), 1: normalised (detectron2) */
    const float* boxes;    /* [R, 4] xyxy */
    const float* heatmaps; /* [R, N, map_height, map_width] logits */
    float* output;         /* [R, N, 3]: x, y, score */
} MaskrtDecodeKeypoints;

/* The attributes of GenerateProposals. */
typedef struct MaskrtProposalAttributes {
    int32_t level_count;
    int32_t cell_anchors[MASKRT_MAX_RPN_LEVELS]; /* anchors at each position of a level */
    int32_t strides[MASKRT_MAX_RPN_LEVELS];      /* 0: canvas size / feature size, rounded down */
    float offsets[MASKRT_MAX_RPN_LEVELS];        /* pixels from the canvas's origin to the first position */
    float anchors[MASKRT_MAX_CELL_ANCHORS * 4];  /* xyxy around the origin, level by level */
    float weights[4];
    int32_t multiply; /* 1: deltas are multiplied with the weights, 0: divided by them */
    float min_log_scale, max_log_scale;
    int32_t top_k_by_probability, nms_by_probability; /* 0: by the logit */
    int32_t pre_nms_top_k, post_nms_top_k;
    float min_side;
    int32_t min_side_inclusive;
    float min_probability;
    int32_t finite_logits; /* 1: infinite logits make no proposals */
    float nms_threshold;
} MaskrtProposalAttributes;

/* One call of GenerateProposals. Channels-last maps are [batch, height, width, stride]. */
typedef struct MaskrtProposals {
    MaskrtProposalAttributes attributes;
    int32_t batch;
    int32_t data_type; /* MASKRT_FLOAT32 or MASKRT_FLOAT16, of the maps */
    int32_t channels_last;
    int32_t logit_strides[MASKRT_MAX_RPN_LEVELS], delta_strides[MASKRT_MAX_RPN_LEVELS]; /* of a pixel: channels last */
    int32_t heights[MASKRT_MAX_RPN_LEVELS], widths[MASKRT_MAX_RPN_LEVELS];
    const int32_t* image_sizes;                /* [batch, 2]: height, width */
    const int32_t* canvas_size;                /* [2]: height, width */
    const void* logits[MASKRT_MAX_RPN_LEVELS]; /* [batch, A, height, width] */
    const void* deltas[MASKRT_MAX_RPN_LEVELS]; /* [batch, 4 A, height, width]: dx, dy, dw, dh of each anchor */
    int32_t* num;                              /* [batch] */
    float* proposals;                          /* [batch, post_nms_top_k, 4] xyxy, the best first; zero from num on */
} MaskrtProposals;

/* The attributes of DetectionOutput. */
typedef struct MaskrtDetectionAttributes {
    int32_t activation;       /* MASKRT_SOFTMAX, MASKRT_SIGMOID or MASKRT_SCORES */
    int32_t background_first; /* 1: the background is the first label of the logits, 0: the last */
    int32_t class_agnostic;   /* 1: a proposal has four deltas; 0: four for each label, without a last background */
    float weights[4];
    int32_t multiply; /* 1: deltas are multiplied with the weights, 0: divided by them */
    float min_log_scale, max_log_scale;
    float min_side;
    int32_t min_side_inclusive;
    int32_t max_detections;
} MaskrtDetectionAttributes;

/* One call of DetectionOutput. Each image has its own thresholds. */
typedef struct MaskrtDetections {
    MaskrtDetectionAttributes attributes;
    int32_t batch, proposals_per_image, labels; /* B, R, L */
    int32_t logits_type, deltas_type;           /* MASKRT_FLOAT32 or MASKRT_FLOAT16 */
    const void* logits;           /* [B * R, L] */
    const void* deltas;           /* [B * R, 4], [B * R, 4 L] or [B * R, 4 (L - 1)]: dx, dy, dw, dh */
    const float* proposals;       /* [B, R, 4] xyxy */
    const int32_t* num_proposals; /* [B]: so many of them exist */
    const int32_t* image_sizes;   /* [B, 2]: height, width */
    const float* score_threshold; /* [B, 1] */
    const float* nms_threshold;   /* [B, 1] */
    int32_t* num;                 /* [B] */
    float* boxes;                 /* [B, max_detections, 4] xyxy, the best first; zero from num on, as are the others */
    float* scores;                /* [B, max_detections] */
    int32_t* classes;             /* [B, max_detections]: 1 to L - 1 */
} MaskrtDetections;

/* A raw picture, and its size on the canvas. */
typedef struct MaskrtFrame {
    const uint8_t* pixels; /* [height, width, 3] RGB, at any address */
    int64_t row_stride;    /* bytes from a row to the next, at least 3 * width */
    int32_t height, width;
    int32_t resized_height, resized_width; /* at most the canvas's */
} MaskrtFrame;

/* One call of resizing and padding: frame b is resized into the upper left corner of slot b, the rest of which becomes
 * zero. The frames' descriptions are read during the call, their pixels on the stream. */
typedef struct MaskrtResizePad {
    int32_t batch;
    int32_t canvas_height, canvas_width; /* fastest where the width is a multiple of 4 */
    int32_t data_type;                   /* of the canvas: MASKRT_UINT8 or MASKRT_FLOAT32 */
    int32_t filter;
    const MaskrtFrame* frames;           /* [batch], in host memory */
    void* canvas;                        /* [batch, canvas_height, canvas_width, 3] RGB, grey levels 0-255 */
} MaskrtResizePad;

/* One call of mask pasting to COCO run lengths for one image. Boxes are multiplied with the scales
 * first: 1 for boxes in image pixels, image size / resized size for a network's. */
typedef struct MaskrtPasteRle {
    int32_t instances, mask_size; /* N, M */
    int32_t image_height, image_width;
    int32_t rule;    /* MASKRT_INTEGER_BOX or MASKRT_PIXEL_CENTERS */
    float threshold; /* of the object's probabilities */
    float box_scale_x, box_scale_y;
    const float* boxes;              /* [N, 4] xyxy */
    const float* mask_probabilities; /* [N, M, M] */
    const int32_t* num;              /* [1]: only so many of the N instances are there; NULL: all */
    int64_t capacity;                /* of counts */
    uint32_t* counts;                /* run lengths of all masks one behind the other, column-major, zeros first */
    int32_t* lengths;                /* [N]: run lengths of each mask; 0 from num on */
    int64_t* total;                  /* [1]: sum of lengths; where it exceeds capacity, counts holds only the first */
} MaskrtPasteRle;

MASKRT_EXPORT int32_t maskrt_abi_version(void);

/* libmaskrt_plugins.so: launches on a stream, without synchronising or allocating. */
MASKRT_EXPORT const char* maskrt_plugins_version(void); /* JSON */
MASKRT_EXPORT const char* maskrt_status_string(int32_t status);
MASKRT_EXPORT int32_t maskrt_roi_align_launch(const MaskrtRoiAlign* call, void* stream);
MASKRT_EXPORT uint64_t maskrt_batched_nms_workspace(int32_t batch, int32_t boxes_per_image, int32_t max_output);
MASKRT_EXPORT int32_t maskrt_batched_nms_launch(const MaskrtBatchedNms* call, void* workspace, void* stream);
MASKRT_EXPORT int32_t maskrt_decode_keypoints_launch(const MaskrtDecodeKeypoints* call, void* stream);
MASKRT_EXPORT uint64_t maskrt_proposals_workspace(const MaskrtProposals* call);
MASKRT_EXPORT int32_t maskrt_proposals_launch(const MaskrtProposals* call, void* workspace, void* stream);
MASKRT_EXPORT uint64_t maskrt_detections_workspace(const MaskrtDetections* call);
MASKRT_EXPORT int32_t maskrt_detections_launch(const MaskrtDetections* call, void* workspace, void* stream);
MASKRT_EXPORT uint64_t maskrt_resize_pad_workspace(const MaskrtResizePad* call);
MASKRT_EXPORT int32_t maskrt_resize_pad_launch(const MaskrtResizePad* call, void* workspace, void* stream);
MASKRT_EXPORT uint64_t maskrt_paste_rle_workspace(int32_t instances, int32_t image_width);
MASKRT_EXPORT int32_t maskrt_paste_rle_launch(const MaskrtPasteRle* call, void* workspace, void* stream);

/* libmaskrt_host.so: float32, channels first. */
MASKRT_EXPORT int32_t maskrt_host_roi_align(const MaskrtRoiAlign* call);
MASKRT_EXPORT int32_t maskrt_host_batched_nms(const MaskrtBatchedNms* call);
MASKRT_EXPORT int32_t maskrt_host_decode_keypoints(const MaskrtDecodeKeypoints* call);
MASKRT_EXPORT int32_t maskrt_host_proposals(const MaskrtProposals* call);
MASKRT_EXPORT int32_t maskrt_host_detections(const MaskrtDetections* call);
MASKRT_EXPORT int32_t maskrt_host_resize_pad(const MaskrtResizePad* call);
MASKRT_EXPORT int32_t maskrt_host_paste_rle(const MaskrtPasteRle* call);
MASKRT_EXPORT void maskrt_host_select_levels(
    const float* rois, int64_t count, const float* thresholds, int32_t threshold_count, int32_t* levels);

#ifdef __cplusplus
}
#endif

#endif
