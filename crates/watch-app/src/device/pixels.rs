//! Where the picture lies on a glass, and how its pixels are written there. Pure.

use crate::screens::{Area, Picture, Touch};

/// The watch's shape on a glass of another size: as large as it fits, in the middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// Pixels of the glass for one of the shape.
    pub(crate) scale: f32,
    glass: (u32, u32),
    left: f32,
    top: f32,
}

impl Fit {
    pub(crate) fn new(glass: (u32, u32), shape: (u32, u32)) -> Self {
        let scale = (float(glass.0) / float(shape.0)).min(float(glass.1) / float(shape.1));
        let edge = |glass: u32, shape: u32| ((float(glass) - float(shape) * scale) / 2.0).max(0.0).floor();
        Self { scale, glass, left: edge(glass.0, shape.0), top: edge(glass.1, shape.1) }
    }

    /// From pixels of the glass to those of the shape.
    pub(crate) fn touch(self, touch: Touch) -> Touch {
        let place = |x: f32, y: f32| ((x - self.left) / self.scale, (y - self.top) / self.scale);
        match touch {
            Touch::Pressed { x, y } => {
                let (x, y) = place(x, y);
                Touch::Pressed { x, y }
            }
            Touch::Moved { x, y } => {
                let (x, y) = place(x, y);
                Touch::Moved { x, y }
            }
            Touch::Released { x, y } => {
                let (x, y) = place(x, y);
                Touch::Released { x, y }
            }
        }
    }

    /// The changed part of a picture, cut to what the glass has room for.
    pub(crate) fn place(self, picture: &Picture, changed: Area) -> Drawing<'_> {
        let (left, top) = (whole(self.left), whole(self.top));
        let room = |start: u32, length: u32, picture: u32, edge: u32, glass: u32| {
            length.min(picture.min(glass.saturating_sub(edge)).saturating_sub(start))
        };
        let width = room(changed.x, changed.width, picture.width, left, self.glass.0);
        let height = room(changed.y, changed.height, picture.height, top, self.glass.1);
        Drawing { picture, changed: Area { width, height, ..changed }, left, top }
    }
}

/// What is to be brought to a glass; all of it lies on the glass and in the picture.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    picture: &'a Picture,
    changed: Area,
    left: u32,
    top: u32,
}

impl Drawing<'_> {
    /// The changed part, in pixels of the glass.
    pub(crate) fn area(&self) -> Area {
        Area { x: self.changed.x + self.left, y: self.changed.y + self.top, ..self.changed }
    }

    /// RGB bytes of each changed row, from the top.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let index = |length: u32| usize::try_from(length).unwrap_or(0);
        let (start, end) = (index(self.changed.x) * 3, index(self.changed.x + self.changed.width) * 3);
        let row_len = index(self.picture.width).max(1) * 3;
        let rows = self.picture.rgb.chunks_exact(row_len);
        let changed = rows.skip(index(self.changed.y)).take(index(self.changed.height));
        changed.filter_map(move |row| row.get(start..end))
    }
}

/// How a glass takes a pixel, its bytes in memory's order on little-endian machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// Two bytes: five bits red, six green, five blue.
    #[cfg(any(feature = "device", test))]
    Rgb565,
    /// Four bytes: blue, green, red, unused.
    Xrgb8888,
}

impl PixelFormat {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            #[cfg(any(feature = "device", test))]
            Self::Rgb565 => 2,
            Self::Xrgb8888 => 4,
        }
    }

    /// Appends a row.
    pub(crate) fn encode(self, rgb: &[u8], out: &mut Vec<u8>) {
        let pixels = rgb.as_chunks::<3>().0;
        match self {
            #[cfg(any(feature = "device", test))]
            Self::Rgb565 => out.extend(pixels.iter().flat_map(|&[red, green, blue]| {
                let [red, green, blue] = [red, green, blue].map(u16::from);
                (((red >> 3) << 11) | ((green >> 2) << 5) | (blue >> 3)).to_le_bytes()
            })),
            Self::Xrgb8888 => out.extend(pixels.iter().flat_map(|&[red, green, blue]| [blue, green, red, 0xff])),
        }
    }
}

#[allow(clippy::as_conversions)] // Sides of displays: exact in an f32.
fn float(side: u32) -> f32 {
    side as f32
}

#[allow(clippy::as_conversions)] // Never negative, never beyond a display.
fn whole(edge: f32) -> u32 {
    edge as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_as_large_as_it_fits_and_in_the_middle() {
        let table = [
            // glass, shape, scale, left and top edge
            ((360, 360), (360, 360), 1.0, (0, 0)),
            ((454, 454), (360, 360), 454.0 / 360.0, (0, 0)),
            ((1280, 720), (360, 360), 2.0, (280, 0)),
            ((368, 448), (368, 448), 1.0, (0, 0)),
            ((240, 320), (360, 360), 240.0 / 360.0, (0, 40)),
            ((720, 1440), (368, 448), 720.0 / 368.0, (0, 281)),
        ];
        for (glass, shape, scale, (left, top)) in table {
            let fit = Fit::new(glass, shape);
            assert_eq!((fit.scale, whole(fit.left), whole(fit.top)), (scale, left, top), "{glass:?}");
            let corner = Touch::Pressed { x: fit.left, y: fit.top };
            assert_eq!(fit.touch(corner), Touch::Pressed { x: 0.0, y: 0.0 }, "{glass:?}");
        }
        let fit = Fit::new((1280, 720), (360, 360));
        assert_eq!(fit.touch(Touch::Released { x: 280.0 + 360.0, y: 100.0 }), Touch::Released { x: 180.0, y: 50.0 });
    }

    #[test]
    fn only_what_changed_and_has_room_is_drawn() {
        let rgb: Vec<u8> = (0..48).collect();
        let picture = Picture { width: 4, height: 4, rgb };
        let area = |x, y, width, height| Area { x, y, width, height };
        let rows = |glass, changed| {
            let drawing = Fit { scale: 1.0, glass, left: 1.0, top: 2.0 }.place(&picture, changed);
            let rows: Vec<Vec<u8>> = drawing.rows().map(<[u8]>::to_vec).collect();
            (drawing.area(), rows)
        };
        let (placed, changed) = rows((6, 8), area(1, 2, 2, 2));
        assert_eq!(placed, area(2, 4, 2, 2));
        assert_eq!(changed, [(27..33).collect::<Vec<u8>>(), (39..45).collect()]);
        assert_eq!(rows((6, 8), area(0, 0, 4, 4)).1.concat(), picture.rgb);
        // A glass that is smaller than the picture, and a change that is not in it.
        assert_eq!(rows((3, 3), area(0, 0, 4, 4)), (area(1, 2, 2, 1), vec![(0..6).collect()]));
        assert!(rows((6, 8), area(9, 9, 4, 4)).1.concat().is_empty());
    }

    #[test]
    fn pixels_are_written_as_the_glass_takes_them() {
        let row = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 8, 4, 8, 7, 3, 7];
        let encode = |format: PixelFormat| {
            let mut out = Vec::new();
            format.encode(&row, &mut out);
            assert_eq!(out.len(), 6 * format.bytes());
            out
        };
        let words: Vec<u16> =
            encode(PixelFormat::Rgb565).as_chunks::<2>().0.iter().copied().map(u16::from_le_bytes).collect();
        assert_eq!(words, [0xf800, 0x07e0, 0x001f, 0xffff, 0x0821, 0x0000]);
        assert_eq!(encode(PixelFormat::Xrgb8888)[..8], [0, 0, 255, 255, 0, 255, 0, 255]);
    }
}
