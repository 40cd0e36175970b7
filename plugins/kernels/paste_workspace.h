// How the work of mask pasting is cut into tiles of image columns, and what the launches leave for each other.
#pragma once

#include <stdint.h>

namespace maskrt {

constexpr int kPasteThreads = 128;
constexpr int kPasteColumns = kPasteThreads - 1;  // of a tile; its first thread looks at the column before

// A tile of a mask's columns. Counting leaves the number of changes and the position of the last; then the sums over
// the tiles before take their place.
struct alignas(16) PasteTile {
    int64_t changes;        // → where the tile's first run length goes in counts
    int64_t last_position;  // → of the last change before the tile; 0 where there is none
};

// Tiles to a mask, for the widest region. They hold its columns and the one behind, unless that lies outside the image,
// where nothing changes any more.
inline int64_t paste_tiles(int image_width)
{
    return (static_cast<int64_t>(image_width) + kPasteColumns - 1) / kPasteColumns;
}

}  // namespace maskrt
