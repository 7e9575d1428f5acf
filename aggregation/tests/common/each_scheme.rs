//! Laws that hold for every scheme.

/// A test of each law with each scheme and its decoder.
macro_rules! laws {
    ($($law:ident)*) => {
        mod elgamal {
            $(#[test] fn $law() { super::$law::<super::ElGamal>(&super::Table::new(12)); })*
        }
        mod plain {
            $(#[test] fn $law() { super::$law::<super::Plain>(&()); })*
        }
    };
}
