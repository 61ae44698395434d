-- `user` is a reserved word on other engines, and what can be said alike is said alike.
ALTER TABLE user RENAME TO account;
