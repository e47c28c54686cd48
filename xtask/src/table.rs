//! Tables for people: columns as wide as their contents, numbers to the right.

use std::fmt::Write as _;

/// Lays out `rows` below `header`.
pub(crate) fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let cells = |column: usize| rows.iter().map(move |row| row[column].as_str());
    let width =
        |column: usize| cells(column).chain([header[column]]).map(|c| c.chars().count()).max().unwrap_or(0);
    let is_number = |column: usize| !rows.is_empty() && cells(column).all(|c| c.parse::<u64>().is_ok());
    let mut text = String::new();
    let mut line = |row: [&str; N]| {
        let mut out = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            // Writing to a string cannot fail.
            let _ = if is_number(column) {
                write!(out, "{cell:>width$}  ")
            } else {
                write!(out, "{cell:<width$}  ")
            };
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(header);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_align_to_the_right_and_words_to_the_left() {
        let rows = [["text".into(), "12".into(), "a".into()], ["x".into(), "3456".into(), String::new()]];
        assert_eq!(
            render(["section", "bytes", "note"], &rows),
            "section  bytes  note\ntext        12  a\nx         3456\n"
        );
    }

    #[test]
    fn no_rows_leave_the_header() {
        assert_eq!(render(["a", "b"], &[]), "a  b\n");
    }
}
