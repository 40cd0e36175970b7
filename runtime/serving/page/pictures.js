// Pictures that a browser can show.

export async function open(blob, name) {
  const made = { name, blob, bitmap: null, width: 0, height: 0, instances: null, seconds: null, total: 0, asked: null, error: null };
  try {
    made.bitmap = await createImageBitmap(blob);
    made.width = made.bitmap.width;
    made.height = made.bitmap.height;
  } catch {
    made.error = `${name} is not a picture that this browser can show.`;
  }
  return made;
}
