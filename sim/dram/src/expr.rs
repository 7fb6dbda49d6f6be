//! Sums and products of named timings: `"RL + BL + 2 - WL"`, `"max(tCCD, BL)"`.

/// Evaluates `text`; `lookup` gives the value of a name.
pub(crate) fn evaluate(text: &str, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, String> {
    // Every bracket is a call deeper.
    if text.matches('(').count() > 32 {
        return Err("more than 32 brackets".into());
    }
    let mut parser = Parser { rest: text, lookup };
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value),
        Some(c) => Err(format!("unexpected `{c}` in `{text}`")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<i64>,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let hit = self.peek() == Some(c);
        if hit {
            self.rest = &self.rest[c.len_utf8()..];
        }
        hit
    }

    fn sum(&mut self) -> Result<i64, String> {
        let mut value = self.product()?;
        loop {
            let (plus, minus) = (self.take('+'), false);
            let minus = minus || (!plus && self.take('-'));
            if !plus && !minus {
                return Ok(value);
            }
            let next = self.product()?;
            let next = if minus { next.checked_neg() } else { Some(next) };
            value = next.and_then(|n| value.checked_add(n)).ok_or("the value overflows")?;
        }
    }

    fn product(&mut self) -> Result<i64, String> {
        let mut value = self.atom()?;
        while self.take('*') {
            value = value.checked_mul(self.atom()?).ok_or("the value overflows")?;
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<i64, String> {
        if self.take('(') {
            let value = self.sum()?;
            return if self.take(')') { Ok(value) } else { Err("a `)` is missing".into()) };
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            return Err("a name or a number is missing".into());
        }
        if word == "max" && self.take('(') {
            let mut value = self.sum()?;
            while self.take(',') {
                value = value.max(self.sum()?);
            }
            return if self.take(')') { Ok(value) } else { Err("a `)` is missing".into()) };
        }
        match word.parse::<i64>() {
            Ok(n) => Ok(n),
            Err(_) => (self.lookup)(word).ok_or_else(|| format!("no timing is called `{word}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn arithmetic() {
        let names = |n: &str| match n {
            "RL" => Some(17),
            "BL" => Some(2),
            "WL" => Some(9),
            _ => None,
        };
        for (text, want) in [
            ("RL + BL + 2 - WL", 12),
            ("max(RL, 2*BL) + 1", 18),
            ("3", 3),
            ("WL - (RL + 1)", -9),
            ("2*(BL+1)*3", 18),
        ] {
            assert_eq!(super::evaluate(text, &names), Ok(want), "{text}");
        }
        assert!(super::evaluate(&"(".repeat(1 << 20), &names).is_err());
        for text in ["RL +", "XX", "(RL", "RL RL", "max(RL", "9999999999999999 * 9999999999999999"] {
            assert!(super::evaluate(text, &names).is_err(), "{text}");
        }
    }
}
