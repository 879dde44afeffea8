-- A database and a user for each service. The users read and write rows; tables are made by the owner of the server, in stega migrate.
-- Their passwords are in a file that stega secrets writes.
CREATE ROLE boundary LOGIN;
CREATE ROLE portfolio LOGIN;
CREATE ROLE marketdata LOGIN;
CREATE ROLE returns LOGIN;
CREATE ROLE correlations LOGIN;
CREATE ROLE optimization LOGIN;
\i /secrets/passwords.sql
CREATE DATABASE boundary;
CREATE DATABASE portfolio;
CREATE DATABASE marketdata;
CREATE DATABASE returns;
CREATE DATABASE correlations;
CREATE DATABASE optimization;
REVOKE CONNECT ON DATABASE boundary, portfolio, marketdata, returns, correlations, optimization FROM PUBLIC;
GRANT CONNECT ON DATABASE boundary TO boundary;
GRANT CONNECT ON DATABASE portfolio TO portfolio;
GRANT CONNECT ON DATABASE marketdata TO marketdata;
GRANT CONNECT ON DATABASE returns TO returns;
GRANT CONNECT ON DATABASE correlations TO correlations;
GRANT CONNECT ON DATABASE optimization TO optimization;
\connect boundary
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO boundary;
\connect portfolio
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO portfolio;
\connect marketdata
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO marketdata;
\connect returns
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO returns;
\connect correlations
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO correlations;
\connect optimization
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO optimization;
