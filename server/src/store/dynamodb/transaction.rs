//! Transactions: several writes that happen all or not at all.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::item::{Item, fault};
use super::keys::Key;
use crate::store::Result;

/// There is no such item.
pub(super) const NEW: &str = "attribute_not_exists(pk)";
/// There is such an item.
pub(super) const THERE: &str = "attribute_exists(pk)";

/// Values of an expression, by their names in it.
pub(super) type Values<'a> = &'a [(&'a str, AttributeValue)];

/// A transaction to be. In expressions, `#name` is the attribute of that name.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    table: String,
    actions: Vec<TransactWriteItem>,
}

const OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

impl Transaction {
    pub(super) fn new(table: &str) -> Self {
        Self { table: table.to_owned(), actions: Vec::new() }
    }

    /// Another one on the same table.
    pub(super) fn empty(&self) -> Self {
        Self { table: self.table.clone(), actions: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.actions.len()
    }

    pub(super) fn into_actions(self) -> Vec<TransactWriteItem> {
        self.actions
    }

    /// Adds all of another one.
    pub(super) fn extend(&mut self, other: Self) {
        self.actions.extend(other.actions);
    }

    /// Each returns the place of its action, by which a refusal is asked about it.
    fn push(&mut self, action: TransactWriteItem) -> usize {
        self.actions.push(action);
        self.actions.len() - 1
    }

    pub(super) fn put(&mut self, item: Item) -> Result<usize> {
        self.put_if(item, None, &[])
    }

    pub(super) fn put_new(&mut self, item: Item) -> Result<usize> {
        self.put_if(item, Some(NEW), &[])
    }

    pub(super) fn put_if(
        &mut self,
        item: Item,
        condition: Option<&str>,
        values: Values<'_>,
    ) -> Result<usize> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_names(names(&[condition]))
            .set_expression_attribute_values(map(values))
            .return_values_on_condition_check_failure(OLD)
            .build()
            .map_err(fault)?;
        Ok(self.push(TransactWriteItem::builder().put(put).build()))
    }

    pub(super) fn update(
        &mut self,
        key: &Key,
        update: &str,
        condition: Option<&str>,
        values: Values<'_>,
    ) -> Result<usize> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .update_expression(update)
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_names(names(&[Some(update), condition]))
            .set_expression_attribute_values(map(values))
            .return_values_on_condition_check_failure(OLD)
            .build()
            .map_err(fault)?;
        Ok(self.push(TransactWriteItem::builder().update(update).build()))
    }

    pub(super) fn delete(&mut self, key: &Key) -> Result<usize> {
        self.delete_if(key, None, &[])
    }

    pub(super) fn delete_if(
        &mut self,
        key: &Key,
        condition: Option<&str>,
        values: Values<'_>,
    ) -> Result<usize> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .set_condition_expression(condition.map(str::to_owned))
            .set_expression_attribute_names(names(&[condition]))
            .set_expression_attribute_values(map(values))
            .return_values_on_condition_check_failure(OLD)
            .build()
            .map_err(fault)?;
        Ok(self.push(TransactWriteItem::builder().delete(delete).build()))
    }

    pub(super) fn check(
        &mut self,
        key: &Key,
        condition: &str,
        values: Values<'_>,
    ) -> Result<usize> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .condition_expression(condition)
            .set_expression_attribute_names(names(&[Some(condition)]))
            .set_expression_attribute_values(map(values))
            .return_values_on_condition_check_failure(OLD)
            .build()
            .map_err(fault)?;
        Ok(self.push(TransactWriteItem::builder().condition_check(check).build()))
    }
}

/// The attributes that expressions name with a `#`, so that none clashes with a word of the engine.
pub(super) fn names(expressions: &[Option<&str>]) -> Option<HashMap<String, String>> {
    let mut names = HashMap::new();
    for expression in expressions.iter().flatten() {
        for part in expression.split('#').skip(1) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &part[..end.unwrap_or(part.len())];
            names.insert(format!("#{name}"), name.to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}

pub(super) fn map(values: Values<'_>) -> Option<HashMap<String, AttributeValue>> {
    let map: HashMap<_, _> =
        values.iter().map(|(name, value)| (format!(":{name}"), value.clone())).collect();
    (!map.is_empty()).then_some(map)
}

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    Done,
    /// Nothing is written: some conditions were not met.
    Refused(Refusal),
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) struct Refusal(Vec<CancellationReason>);

impl Refusal {
    pub(super) fn new(reasons: Vec<CancellationReason>) -> Self {
        Self(reasons)
    }

    /// Whether the condition of the action at this place was not met.
    pub(super) fn failed(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed"))
    }

    /// The item that did not meet the condition; `None` also when there is none.
    pub(super) fn item(&self, place: usize) -> Option<&Item> {
        if !self.failed(place) {
            return None;
        }
        self.0.get(place).and_then(|reason| reason.item()).filter(|item| !item.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_an_expression_are_found() {
        let found = names(&[Some("SET #head = :last, #a_b=:x"), None, Some("#c<:d")]);
        let mut found: Vec<_> = found.expect("there are some").into_iter().collect();
        found.sort();
        let expected = [("#a_b", "a_b"), ("#c", "c"), ("#head", "head")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(names(&[Some(NEW)]), None);
    }
}
