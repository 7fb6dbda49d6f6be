//! Small formulas over columns: `15 * 3600 / decode.energy_per_token_j`.
//!
//! ```text
//! sum := product (("+" | "-") product)*      product := factor (("*" | "/") factor)*
//! factor := number | name | "-" factor | "(" sum ")" | ("min" | "max") "(" sum "," sum ")"
//! ```

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A constant.
    Number(f64),
    /// A column, by name.
    Name(String),
    /// Two of them with `+`, `-`, `*`, `/`, or the smaller (`<`) or larger (`>`) of both.
    Pair(char, Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Reads a formula.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH {
            return Err(format!("it is longer than {LENGTH} characters"));
        }
        let mut reader = Reader { text, at: 0, depth: 0 };
        let found = reader.sum()?;
        match reader.peek() {
            None => Ok(found),
            Some(c) => Err(format!("`{c}` at {} is too much", reader.at + 1)),
        }
    }
    /// Every name in it, in order of appearance.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Expression::Number(_) => Vec::new(),
            Expression::Name(name) => vec![name],
            Expression::Pair(_, a, b) => [a.names(), b.names()].concat(),
        }
    }
    /// Its value; none where a name has none, or where it is not finite.
    pub fn value(&self, of: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        let value = match self {
            Expression::Number(x) => *x,
            Expression::Name(name) => of(name)?,
            Expression::Pair(op, a, b) => {
                let (a, b) = (a.value(of)?, b.value(of)?);
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' => a / b,
                    '<' => a.min(b),
                    _ => a.max(b),
                }
            }
        };
        value.is_finite().then_some(value)
    }
}

/// Characters of a formula: its tree is as deep as it is long.
const LENGTH: usize = 1000;
/// Brackets that may be open at once.
const DEPTH: u32 = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }
    fn take(&mut self, wanted: char) -> Result<(), String> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += c.len_utf8();
                Ok(())
            }
            _ => Err(format!("`{wanted}` is missing at {}", self.at + 1)),
        }
    }
    fn chain(
        &mut self,
        ops: [char; 2],
        next: fn(&mut Self) -> Result<Expression, String>,
    ) -> Result<Expression, String> {
        let mut found = next(self)?;
        while let Some(op) = self.peek().filter(|c| ops.contains(c)) {
            self.at += 1;
            found = Expression::Pair(op, Box::new(found), Box::new(next(self)?));
        }
        Ok(found)
    }
    fn sum(&mut self) -> Result<Expression, String> {
        self.chain(['+', '-'], Self::product)
    }
    fn product(&mut self) -> Result<Expression, String> {
        self.chain(['*', '/'], Self::factor)
    }
    fn factor(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("more than {DEPTH} brackets are open at {}", self.at + 1));
        }
        let found = self.one();
        self.depth -= 1;
        found
    }
    fn one(&mut self) -> Result<Expression, String> {
        let Some(first) = self.peek() else { return Err("a number or a name is missing at the end".into()) };
        if first == '(' {
            self.take('(')?;
            let inner = self.sum()?;
            self.take(')')?;
            return Ok(inner);
        }
        if first == '-' {
            self.take('-')?;
            let zero = Expression::Number(0.0);
            return Ok(Expression::Pair('-', Box::new(zero), Box::new(self.factor()?)));
        }
        let rest = &self.text[self.at..];
        let long = |more: &dyn Fn(char) -> bool| rest.find(|c| !more(c)).unwrap_or(rest.len());
        if first.is_ascii_digit() {
            let mut before = ' ';
            let end = rest
                .char_indices()
                .find(|&(_, c)| {
                    let on =
                        c.is_ascii_alphanumeric() || c == '.' || ("+-".contains(c) && "eE".contains(before));
                    before = c;
                    !on
                })
                .map_or(rest.len(), |(i, _)| i);
            self.at += end;
            let text = &rest[..end];
            return text.parse().map(Expression::Number).map_err(|_| format!("`{text}` is no number"));
        }
        if !first.is_ascii_alphabetic() && first != '_' {
            return Err(format!("`{first}` at {} is neither a number nor a name", self.at + 1));
        }
        let end = long(&|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        self.at += end;
        let name = &rest[..end];
        let op = match name {
            "min" => '<',
            "max" => '>',
            _ => return Ok(Expression::Name(name.to_owned())),
        };
        self.take('(')?;
        let first = self.sum()?;
        self.take(',')?;
        let second = self.sum()?;
        self.take(')')?;
        Ok(Expression::Pair(op, Box::new(first), Box::new(second)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        let of = |name: &str| match name {
            "decode.x" => Some(4.0),
            "a_1" => Some(0.5),
            _ => None,
        };
        Expression::parse(text).unwrap().value(&of)
    }

    #[test]
    fn formulas_are_what_they_look_like() {
        for (text, wanted) in [
            ("1 + 2 * 3", 7.0),
            ("(1+2)*3", 9.0),
            ("8 / 2 / 2", 2.0),
            ("10-3-2", 5.0),
            ("-decode.x + 1e3", 996.0),
            ("2.5e-1*decode.x", 1.0),
            ("min(decode.x, a_1) + max(1, 2)", 2.5),
            ("--1", 1.0),
        ] {
            assert_eq!(value(text), Some(wanted), "{text}");
        }
        assert_eq!(value("1 / 0"), None);
        assert_eq!(value("nothing + 1"), None);
        assert_eq!(Expression::parse("a*b.c + min(a, 2)").unwrap().names(), ["a", "b.c", "a"]);
    }

    #[test]
    fn what_is_no_formula_is_said_so() {
        for (text, wanted) in [
            ("", "a number or a name is missing at the end"),
            ("1 +", "a number or a name is missing at the end"),
            ("(1", "`)` is missing at 3"),
            ("1 2", "`2` at 3 is too much"),
            ("a $ b", "`$` at 3 is too much"),
            ("1x", "`1x` is no number"),
            ("min(1)", "`,` is missing at 6"),
            ("* 2", "`*` at 1 is neither a number nor a name"),
        ] {
            assert_eq!(Expression::parse(text).unwrap_err(), wanted, "{text}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).is_err());
        assert!(Expression::parse(&"-".repeat(100_000)).is_err());
    }
}
