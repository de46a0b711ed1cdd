// Loss of each token under llama.cpp, and its own tokens for a text: one JSON object in, one out.
// {model, tokens, text} -> {losses: [of tokens[1:], in nats], tokens: [of text]}
import {readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const {model: modelPath, tokens, text} = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: tokens.length + 8, flashAttention: false, threads: 1});
const losses = [];
// The distribution as the model has it: no sampler may touch it. One token is sampled along with it, and not used.
const plain = {temperature: 1, topK: 0, topP: 1, minP: 0};
await context.getSequence().controlledEvaluate(
    tokens.map((token) => [token, {generateNext: {probabilities: true, options: plain}}]),
    {onTokenResult: (index, {next}) => {
        if (index + 1 < tokens.length)
            losses[index] = -Math.log(next.probabilities.get(tokens[index + 1]));
        next.probabilities.clear();
    }}
);
console.log(JSON.stringify({losses, tokens: text == null ? [] : model.tokenize(text)}));
process.exit(0);
