// The colours of maskrt's overlays, one for each class, around and around.

export const PALETTE = [
  [255, 82, 82], [38, 166, 255], [255, 202, 40], [0, 200, 150], [186, 104, 255], [255, 138, 46],
  [77, 221, 255], [236, 64, 150], [156, 214, 56], [92, 107, 255], [255, 167, 167], [0, 150, 136],
  [214, 170, 255], [200, 140, 60], [120, 220, 160], [255, 110, 220],
];

export const color = (category, alpha = 1) => `rgb(${PALETTE[(category - 1) % PALETTE.length].join(" ")} / ${alpha})`;
