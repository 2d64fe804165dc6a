-- Projects identities from what HR and the badge system say, and works out what changed.
-- Reads the staging tables that import_csv.py fills. The rules are stated in README.md, by the numbers that stand here.
-- Runs inside one transaction that its caller makes. May be run again at any time: it starts from the staging tables.

-- What was exported last is what the changes are counted from. Without an export since, that state stays.
CREATE TABLE IF NOT EXISTS identity (
    uid TEXT PRIMARY KEY, given_name, surname, mail, department, title, location, manager, badge, building
);
CREATE TABLE IF NOT EXISTS identity_previous (
    uid TEXT PRIMARY KEY, given_name, surname, mail, department, title, location, manager, badge, building
);
CREATE TABLE IF NOT EXISTS exported (as_of);
DELETE FROM identity_previous WHERE EXISTS (SELECT 1 FROM exported);
INSERT INTO identity_previous SELECT * FROM identity WHERE EXISTS (SELECT 1 FROM exported);
DELETE FROM exported;

-- Rule 3: every spelling of an employee id, and whose it is.
DROP TABLE IF EXISTS account;
CREATE TABLE account AS
SELECT id, printf('e%05d', CAST(digits AS INTEGER)) AS uid
FROM (
    SELECT id, ltrim(upper(id), 'E-. ') AS digits
    FROM (
        SELECT employee_id AS id FROM hr
        UNION SELECT manager_id FROM hr
        UNION SELECT employee_id FROM badges
        UNION SELECT employee_id FROM rejected
    ) AS spelling
) AS stripped
WHERE digits <> '' AND digits NOT GLOB '*[^0-9]*';

-- Rules 4 and 5: one row a person out of HR's rows.
DROP TABLE IF EXISTS person;
CREATE TABLE person AS
WITH dated AS (
    SELECT account.uid, hr.*, coalesce(start_date <= as_of, 1) AND coalesce(end_date >= as_of, 1) AS active
    FROM hr
    JOIN account ON account.id = hr.employee_id
    JOIN source ON source.system = 'hr'
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY uid ORDER BY active DESC, start_date DESC, line DESC) AS place
    FROM dated
)
SELECT * FROM ranked WHERE place = 1;

-- Rule 6: one badge a person.
DROP TABLE IF EXISTS holder;
CREATE TABLE holder AS
WITH ranked AS (
    SELECT account.uid, badges.*,
        row_number() OVER (PARTITION BY account.uid ORDER BY issued_date DESC, line DESC) AS place
    FROM badges
    JOIN account ON account.id = badges.employee_id
    WHERE lower(status) = 'active'
)
SELECT * FROM ranked WHERE place = 1;

-- Rules 7 and 8: who is active, and whoever HR's file hides behind an unreadable row, each with their manager.
DELETE FROM identity;
INSERT INTO identity
WITH present AS (
    SELECT person.uid, given_name, surname, lower(mail) AS mail, department, title, location,
        account.uid AS manager, badge, building
    FROM person
    LEFT JOIN account ON account.id = person.manager_id
    LEFT JOIN holder ON holder.uid = person.uid
    WHERE active
    UNION ALL
    SELECT * FROM identity_previous
    WHERE uid NOT IN (SELECT uid FROM person) AND uid IN (
        SELECT account.uid FROM rejected JOIN account ON account.id = rejected.employee_id WHERE system = 'hr'
    )
)
SELECT present.uid, present.given_name, present.surname, present.mail, present.department, present.title,
    present.location, boss.uid AS manager, present.badge, present.building
FROM present
LEFT JOIN present AS boss ON boss.uid = present.manager AND boss.uid <> present.uid;

DROP TABLE IF EXISTS missing_manager;
CREATE TABLE missing_manager AS
SELECT identity.uid,
    CASE
        WHEN person.uid IS NULL THEN 'row unreadable'
        WHEN person.manager_id IS NULL THEN 'none named'
        WHEN account.uid = identity.uid THEN 'names the person itself'
        WHEN boss.uid IS NULL THEN 'unknown in HR'
        ELSE 'not active'
    END AS reason
FROM identity
LEFT JOIN person ON person.uid = identity.uid
LEFT JOIN account ON account.id = person.manager_id
LEFT JOIN person AS boss ON boss.uid = account.uid
WHERE identity.manager IS NULL;

-- Rule 9: what changed, and in which attributes.
DROP TABLE IF EXISTS change;
CREATE TABLE change AS
SELECT 'joiner' AS kind, uid, '' AS attributes FROM identity
WHERE uid NOT IN (SELECT uid FROM identity_previous)
UNION ALL
SELECT 'leaver', uid, '' FROM identity_previous
WHERE uid NOT IN (SELECT uid FROM identity)
UNION ALL
SELECT 'mover', uid, attributes
FROM (
    SELECT now.uid, trim(
        CASE WHEN now.given_name IS NOT was.given_name THEN ' given_name' ELSE '' END
        || CASE WHEN now.surname IS NOT was.surname THEN ' surname' ELSE '' END
        || CASE WHEN now.mail IS NOT was.mail THEN ' mail' ELSE '' END
        || CASE WHEN now.department IS NOT was.department THEN ' department' ELSE '' END
        || CASE WHEN now.title IS NOT was.title THEN ' title' ELSE '' END
        || CASE WHEN now.location IS NOT was.location THEN ' location' ELSE '' END
        || CASE WHEN now.manager IS NOT was.manager THEN ' manager' ELSE '' END
        || CASE WHEN now.badge IS NOT was.badge THEN ' badge' ELSE '' END
        || CASE WHEN now.building IS NOT was.building THEN ' building' ELSE '' END
    ) AS attributes
    FROM identity AS now
    JOIN identity_previous AS was ON was.uid = now.uid
) AS compared
WHERE attributes <> '';
