import forge from 'node-forge';

// Building blocks of DER (X.690), for the structures that no library here writes: EncryptedPrivateKeyInfo with
// a chosen number of rounds, and PKCS#12 around an elliptic-curve key.

type Node = forge.asn1.Asn1;
const { Class, Type, create } = forge.asn1;
const binary = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

export const sequence = (...parts: Node[]): Node => create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
export const set = (...parts: Node[]): Node => create(Class.UNIVERSAL, Type.SET, true, parts);
export const oid = (dotted: string): Node =>
  create(Class.UNIVERSAL, Type.OID, false, forge.asn1.oidToDer(dotted).getBytes());
export const octets = (bytes: Uint8Array): Node =>
  create(Class.UNIVERSAL, Type.OCTETSTRING, false, binary(bytes));
export const integer = (value: number): Node =>
  create(Class.UNIVERSAL, Type.INTEGER, false, forge.asn1.integerToDer(value).getBytes());
export const nothing = (): Node => create(Class.UNIVERSAL, Type.NULL, false, '');
/** A value under an explicit context tag. */
export const tagged = (tag: number, part: Node): Node => create(Class.CONTEXT_SPECIFIC, tag, true, [part]);
/** Several values under one implicit context tag. */
export const taggedSequence = (tag: number, ...parts: Node[]): Node =>
  create(Class.CONTEXT_SPECIFIC, tag, true, parts);
/** A string under an implicit context tag. */
export const contextString = (tag: number, bytes: Uint8Array): Node =>
  create(Class.CONTEXT_SPECIFIC, tag, false, binary(bytes));
/** The library writes each UTF-16 code unit of this type by itself. */
export const bmpString = (text: string): Node => create(Class.UNIVERSAL, Type.BMPSTRING, false, text);
export const fromDer = (der: Uint8Array): Node => forge.asn1.fromDer(binary(der));
export const toDer = (node: Node): Buffer => Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1');
