-- A database and a user for each service. The users read and write rows; tables are made by the owner of the server, in stega migrate.
-- The passwords are for development: change them here and in compose.yaml before anybody else can reach the server.
CREATE ROLE boundary LOGIN PASSWORD 'boundary-dev';
CREATE ROLE portfolio LOGIN PASSWORD 'portfolio-dev';
CREATE ROLE marketdata LOGIN PASSWORD 'marketdata-dev';
CREATE ROLE returns LOGIN PASSWORD 'returns-dev';
CREATE ROLE correlations LOGIN PASSWORD 'correlations-dev';
CREATE ROLE optimization LOGIN PASSWORD 'optimization-dev';
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
