//! Pictures as PNG: the SVG that is drawn anyway, rendered with a font of our own, so that a machine without fonts gives the same
//! bytes. The font is DejaVu Sans, free to embed (a derivative of Bitstream Vera).

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::plot::PlotError;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// An SVG of ours as PNG, `scale` pixels per pixel of the SVG; the same SVG gives the same bytes.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    let options = Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".into(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| PlotError(e.to_string()))?;
    let size = tree.size().to_int_size().scale_by(scale).ok_or_else(|| PlotError("it has no size".into()))?;
    let mut pixels = Pixmap::new(size.width(), size.height())
        .ok_or_else(|| PlotError(format!("{} x {} pixels are too many", size.width(), size.height())))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| PlotError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_without_any_font_of_the_system() {
        let svg = |text: &str| {
            format!(
                "<svg width=\"80\" height=\"20\" xmlns=\"http://www.w3.org/2000/svg\">\
                 <rect width=\"80\" height=\"20\" fill=\"#ffffff\"/>\
                 <text x=\"4\" y=\"15\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#000000\">{text}</text></svg>"
            )
        };
        let (some, none) = (png(&svg("roofline"), 2.0).unwrap(), png(&svg(""), 2.0).unwrap());
        assert!(some.len() > none.len() + 200, "{} and {} bytes", some.len(), none.len());
        assert_eq!(some, png(&svg("roofline"), 2.0).unwrap());
        assert!(png("<svg", 1.0).is_err());
    }
}
