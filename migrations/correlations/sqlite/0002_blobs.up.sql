-- Earlier versions appended to a year with ||, whose result is text. The bytes are the same.
UPDATE series SET data = CAST(data AS BLOB) WHERE typeof(data) <> 'blob';
