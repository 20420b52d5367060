import {existsSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import Ajv2020 from 'ajv/dist/2020.js';

const path = fileURLToPath(new URL('../../../appliance/signaling/schema.json', import.meta.url));

/**
 * Checks frames against the schema that is generated from the box's own types.
 * @returns {((frame: {way: string, payload: string}) => string | undefined) | undefined} undefined without a schema
 */
export function frameChecker() {
  if (!existsSync(path)) return undefined;
  const schema = JSON.parse(readFileSync(path, 'utf8'));
  const ajv = new Ajv2020({strict: false});
  ajv.addSchema(schema);
  const validators = {
    sent: ajv.compile({$ref: `${schema.$id}#/$defs/ClientFrame`}),
    received: ajv.compile({$ref: `${schema.$id}#/$defs/BoxFrame`}),
  };
  return ({way, payload}) => {
    const frame = JSON.parse(payload);
    const valid = validators[way];
    return valid(frame) ? undefined : `${way} ${frame.type}: ${ajv.errorsText(valid.errors)} in ${payload.slice(0, 300)}`;
  };
}
