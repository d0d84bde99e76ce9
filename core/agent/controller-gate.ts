import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkController,
  keyFingerprintOf,
  type Meeting,
  newNonce,
  proveAgent,
  requireObeyed,
} from '../credentials/controller-proof.ts';
import { replaceDurably } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';

/** Who speaks over one connection to an agent. */
export interface Controller {
  /** What this connection has to prove; null before it has asked. */
  meeting: Meeting | null;
  /** The key of its authority, once it has proven that it holds it. */
  fingerprint: string | null;
}

/** A connection of which nothing is known yet. */
export const newController = (): Controller => ({ meeting: null, fingerprint: null });

/** What an agent shows of itself: the key and the certificate of its host, once it has them. */
export interface Shown {
  keyPem: string;
  certificatePem: string;
}

/**
 * Decides whom an agent obeys: the control plane that holds the key of one authority, proven on each connection. Which
 * one lies on the disk. An agent that obeys nobody yet takes the first that proves itself.
 */
export class ControllerGate {
  readonly #path: string;
  readonly #host: () => string | null;
  readonly #shown: () => Shown | null;
  readonly #refused: (error: MoveError) => void;
  #obeys: string | null = null;

  constructor(options: {
    stateDirectory: string;
    /** The host's name, as far as the agent has been told. */
    host: () => string | null;
    shown: () => Shown | null;
    /** Hears of control planes that were turned away. */
    refused: (error: MoveError) => void;
  }) {
    this.#path = join(options.stateDirectory, 'controller.pem');
    this.#host = options.host;
    this.#shown = options.shown;
    this.#refused = options.refused;
  }

  /** Takes up whom it obeyed before; where nothing was written, the authority that configured the agent. */
  async restore(configuredBy: string | undefined): Promise<void> {
    const pem = await readFile(this.#path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return configuredBy;
      throw cause;
    });
    this.#obeys = pem === undefined ? null : keyFingerprintOf(new X509Certificate(pem));
  }

  /** Begins a proof: shows who the agent is, and says what the control plane has to sign. */
  meet(
    controller: Controller,
    asked: { host: string; nonce: string },
  ): { nonce: string; obeys: string | null; proof: { certificatePem: string; signature: string } | null } {
    const host = this.#host();
    if (host !== null && host !== asked.host)
      throw new MoveError('AGENT_FOREIGN', `This is the agent on ${host}, not that on ${asked.host}.`, {
        host,
      });
    const meeting = { host: asked.host, controllerNonce: asked.nonce, agentNonce: newNonce() };
    controller.meeting = meeting;
    controller.fingerprint = null;
    const shown = this.#shown();
    return {
      nonce: meeting.agentNonce,
      obeys: this.#obeys,
      proof: shown && {
        certificatePem: shown.certificatePem,
        signature: proveAgent(meeting, shown.keyPem),
      },
    };
  }

  /**
   * Takes a control plane's proof for its connection.
   * @throws MoveError `CONTROLLER_UNPROVEN`, `CONTROLLER_DENIED`.
   */
  async prove(controller: Controller, proof: { authorityPem: string; signature: string }): Promise<void> {
    const { meeting } = controller;
    if (!meeting) throw this.#unproven();
    // Good for one answer.
    controller.meeting = null;
    try {
      const fingerprint = checkController(meeting, proof, this.#obeys);
      if (this.#obeys === null) await this.obey(proof.authorityPem);
      controller.fingerprint = fingerprint;
    } catch (thrown) {
      const error = toMoveError(thrown);
      this.#refused(error);
      throw error;
    }
  }

  /** @throws MoveError `CONTROLLER_UNPROVEN`, `CONTROLLER_DENIED` unless this connection is the one to obey now. */
  check({ fingerprint }: Controller): void {
    if (fingerprint === null) throw this.#unproven();
    requireObeyed(this.#host(), fingerprint, this.#obeys);
  }

  /** From now on the control plane of this authority is obeyed, and no other. Durable when it returns. */
  async obey(authorityPem: string): Promise<void> {
    const fingerprint = keyFingerprintOf(new X509Certificate(authorityPem));
    await replaceDurably([{ path: this.#path, content: authorityPem }]);
    this.#obeys = fingerprint;
  }

  #unproven(): MoveError {
    return new MoveError(
      'CONTROLLER_UNPROVEN',
      `The agent on ${this.#host() ?? 'this host'} obeys a control plane that has proven who it is, on this connection. Ask "agent.meet" and answer with "agent.prove" first.`,
    );
  }
}
