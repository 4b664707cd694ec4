//! Interactive messages about products and orders (meta-cloud-api §1.6).

use super::interactive::named_action;
use super::place::{Faults, Optional, Place, Required};

/// Most sections of a list of products.
const SECTIONS_MAX: usize = 10;
/// Most products in all sections together.
const PRODUCTS_MAX: usize = 30;
/// Longest section title.
const SECTION_TITLE_CHARS_MAX: usize = 24;

pub(super) fn product(action: &Place<'_>, faults: &mut Faults) {
    action.filled("catalog_id", Required, faults);
    action.filled("product_retailer_id", Required, faults);
}

pub(super) fn product_list(action: &Place<'_>, faults: &mut Faults) {
    action.filled("catalog_id", Required, faults);
    product_sections(action, faults);
}

/// `sections` of products, of a product list or of a template's multi-product button.
pub(super) fn product_sections(place: &Place<'_>, faults: &mut Faults) {
    let Some(list) = place.list("sections", Required, 1..=SECTIONS_MAX, faults) else { return };
    let title = if list.len() > 1 { Required } else { Optional };
    let mut products = 0;
    for section in list.objects(faults) {
        section.string("title", title, 1..=SECTION_TITLE_CHARS_MAX, faults);
        if let Some(items) = section.list("product_items", Required, 1..=usize::MAX, faults) {
            products += items.len();
            for item in items.objects(faults) {
                item.filled("product_retailer_id", Required, faults);
            }
        }
    }
    if products > PRODUCTS_MAX {
        faults.add(list.path(), format!("must have at most {PRODUCTS_MAX} products in all ({products} given)"));
    }
}

pub(super) fn catalog(action: &Place<'_>, faults: &mut Faults) {
    named_action(action, "catalog_message", faults);
    if let Some(parameters) = action.object("parameters", Optional, faults) {
        parameters.filled("thumbnail_product_retailer_id", Optional, faults);
    }
}

/// `review_and_pay` and `review_order`. The rest of their parameters differs by country and
/// provider, and Meta decides on it.
pub(super) fn order(action: &Place<'_>, name: &'static str, faults: &mut Faults) {
    named_action(action, name, faults);
    if let Some(parameters) = action.object("parameters", Required, faults) {
        parameters.filled("reference_id", Required, faults);
        let order = if name == "review_order" { Required } else { Optional };
        if let Some(order) = parameters.object("order", order, faults) {
            order.any_string("status", Optional, faults);
        }
    }
}
